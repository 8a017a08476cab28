"""Compiling ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import glassnet as gn
from glassnet import engines, warming
from glassnet.errors import GlassnetError

pytest.importorskip("numba")
KEPT = Path(engines.__file__).parent / "__pycache__"


def kept() -> set[str]:
    return {file.name for file in KEPT.glob("*.nbc")}


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    for dtype in warming.DTYPES:
        warming.compile_all(dtype)


@pytest.mark.parametrize("dtype", warming.DTYPES)
def test_later_runs_compile_nothing(dtype: str) -> None:
    before = kept()
    for hidden, output, loss in (
        ("relu", "softmax", "cross_entropy"),
        ("gelu", "identity", "squared_error"),
        ("tanh", "sigmoid", "binary_cross_entropy"),
    ):
        objective = gn.Objective(gn.Network(3, [gn.Dense(5, hidden), gn.Dense(2, output)]), loss, l2=0.1)
        X, Y = np.ones((8, 3), dtype), np.tile(np.array([0, 1], dtype), (8, 1))
        for rule in (gn.SGD(0.1), gn.SGD(0.1, momentum=0.9), gn.Adam(), gn.ClipNorm(gn.SGD(0.1))):
            run = gn.train(objective, objective.net.init(0, dtype), X, Y, optimizer=rule, epochs=2, engine="numba")
            assert run.engine == "numba"
    layers = [gn.Dense(20, "relu"), gn.Dense(20, "relu"), gn.Dense(2)]  # wide enough to leave zeros out
    objective = gn.Objective(gn.Network(30, layers), "squared_error")
    gn.train(objective, objective.net.init(0, dtype), np.eye(8, 30, dtype=dtype), Y, epochs=1, engine="numba")
    assert kept() == before


def test_the_test_sees_what_is_new() -> None:
    before = kept()
    own = (lambda z: 0.123 * z, lambda z, a: 0.123 + 0 * z)
    objective = gn.Objective(gn.Network(3, [gn.Dense(5, own), gn.Dense(2)]), "squared_error")
    gn.train(objective, objective.net.init(0), np.ones((8, 3)), np.ones((8, 2)), epochs=1, engine="numba")
    new = kept() - before
    for name in new:
        (KEPT / name).unlink()
    assert new or before, "nothing is kept where the source cannot be written"


def test_every_activation_loss_and_rule_has_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[gn.Objective, object]] = []
    monkeypatch.setattr(
        warming, "train", lambda objective, *rest, optimizer, **options: seen.append((objective, optimizer))
    )
    warming.compile_all("float64")
    hidden = {objective.net.layers[0].function.name for objective, _ in seen}
    assert hidden >= set(gn.activations.ACTIVATIONS)
    assert {objective.loss for objective, _ in seen} >= set(gn.losses.LOSSES)
    assert {type(rule).__name__ for _, rule in seen} >= {
        "SGD",
        "Adam",
        "AdamW",
        "NAdam",
        "RMSProp",
        "AdaGrad",
        "ClipNorm",
    }


def test_without_numba_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "find_spec", lambda name: None)
    with pytest.raises(GlassnetError, match="pip install numba"):
        warming.warm_up()


def test_equations_are_compiled_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "_cases", lambda: iter(()))
    asked: list[dict[str, object]] = []
    solve = gn.pde.solve
    monkeypatch.setattr(gn.pde, "solve", lambda name, **options: (asked.append(options), solve(name, **options)))
    warming.compile_all("float32")
    assert not asked
    warming.compile_all("float32", equations=True)
    before = kept()
    assert (asked[0]["engine"], asked[0]["dtype"]) == ("numba", "float32")
    gn.pde.solve("hjb", dim=3, steps=3, iterations=2, engine="numba", dtype="float32")
    assert kept() == before, "nothing is left to compile"


def test_each_process_is_told_whether_equations_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    programs: list[str] = []

    class Started:
        returncode = 0

        def __init__(self, command: list[str], **options: object) -> None:
            programs.append(command[-1])

        def communicate(self) -> tuple[None, str]:
            return None, ""

    monkeypatch.setattr(warming.subprocess, "Popen", Started)
    warming.warm_up()
    warming.warm_up(equations=True)
    assert [program.endswith("equations=True)") for program in programs] == [False, False, True, True]
