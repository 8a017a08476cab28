"""engines/notices.py: one line of information, once a process."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from engine_runs import small
from glassnet.engines.notices import say_once
from glassnet.engines.storage import MAKING


def test_a_line_is_said_once(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="glassnet"):
        for _ in range(3):
            say_once("a line of this test")
        say_once("another line of this test")
    assert capsys.readouterr().err == "glassnet: a line of this test\nglassnet: another line of this test\n"
    assert capsys.readouterr().out == ""
    assert [record.getMessage() for record in caplog.records] == ["a line of this test", "another line of this test"]
    assert {(record.name, record.levelname) for record in caplog.records} == {("glassnet", "INFO")}


def test_a_run_that_is_compiled_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    small().run("numba")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


START = """
import numpy as np, glassnet as gn
from glassnet import Dense, Network, Objective, SGD
from glassnet.optimizers import RuleState
class Own:
    learning_rate = 0.01
    def init(self, theta, decayed=None):
        return RuleState(0, (), "Own")
    def step(self, grad, state, rate, theta=None):
        return -rate * grad, state._replace(t=state.t + 1)
def fit(f=np.tanh, optimizer="sgd", **options):
    net = Network(2, [Dense(3, (f, lambda z, a: 1 - a * a)), Dense(1)])
    X = np.ones((8, 2))
    gn.train(Objective(net, "squared_error"), net.init(0), X, X[:, :1], epochs=2, engine="numba", optimizer=optimizer,
             **options)
"""
CASES = {
    "a function": "fit(lambda z: np.tanh(z) + 0 * z.max()); fit(lambda z: np.tanh(z) + 0 * z.max())",
    "a rule": "fit(optimizer=Own()); fit(optimizer=Own())",
}


@pytest.mark.parametrize("why", CASES)
def test_a_run_that_falls_back_says_so_once_a_process(why: str) -> None:
    done = subprocess.run([sys.executable, "-c", START + CASES[why]], capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if MAKING not in line]
    assert len(lines) == 1
    assert lines[0].startswith("glassnet: This run uses the reference engine")
    assert done.stdout == ""
