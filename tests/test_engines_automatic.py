"""engines/automatic.py: the engine that is expected to be the faster one runs, says so, and gives the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet
import glassnet as gn
from engine_runs import BOUNDS, Case, case, check, compiled, same, small
from glassnet import SGD, Adam, BatchNorm, Dense, Dropout
from glassnet.engines import automatic, fusing, get_engine
from glassnet.engines.contract import Job
from glassnet.engines.cost import Estimate
from glassnet.optimizers import RuleState

CASES: dict[str, Case] = {
    "plain": small(),
    "adam": small("relu", "softmax", "cross_entropy", l2=0.01).but(optimizer=Adam(0.01)),
    "normed": case([Dense(8, "gelu", bias=False), BatchNorm(0.9), Dropout(0.1), Dense(3)]),
}
NO_ESTIMATE = "training.py leaves loop.estimate out of the Run"
ESTIMATES = {"numpy": Estimate(1.0, 2.0, " (of this test)"), "numba": Estimate(2.0, 1.0, " (of this test)")}


def expect(patch: pytest.MonkeyPatch, engine: str) -> list[Job]:
    """Let the estimate prefer this engine; return the jobs that it is asked about."""
    jobs: list[Job] = []

    def estimate(job: Job) -> Estimate:
        jobs.append(job)
        return ESTIMATES[engine]

    patch.setattr(automatic, "estimate", estimate)
    return jobs


# ---- which engine runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("which", CASES)
def test_it_is_the_engine_that_is_expected_to_be_faster(
    which: str, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {}
    for engine in ESTIMATES:
        jobs = expect(monkeypatch, engine)
        runs[engine] = CASES[which].run("auto", dtype)
        assert jobs
        assert runs[engine].engine == engine
        assert same(runs[engine], CASES[which].run(engine, dtype))  # to the last bit the run of that name
    check(runs["numba"], runs["numpy"], BOUNDS[dtype])


@pytest.mark.parametrize("engine", ESTIMATES)
def test_a_run_says_what_was_expected(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, engine)
    run = small().run("auto")
    assert run.estimate == str(ESTIMATES[engine])
    assert run.estimate.startswith(f"engine {run.engine}: estimated ")


def test_the_estimate_and_the_engine_agree_where_nothing_is_patched() -> None:
    run = small().run("auto")
    assert run.estimate.startswith(f"engine {run.engine}: estimated ")


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_an_engine_that_is_asked_for_by_name_is_not_estimated(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = expect(monkeypatch, "numpy" if engine == "numba" else "numba")
    run = small().run(engine)
    assert (run.engine, run.estimate, jobs) == (engine, "", [])


def test_the_estimate_sees_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = expect(monkeypatch, "numpy")
    made = CASES["adam"]
    made.run("auto", np.float32, epochs=7, batch_size=10, n_threads=3)
    assert {(job.epochs, job.batch_size, job.rows, job.n_threads, job.alongside) for job in jobs} == {(7, 10, 41, 3, 1)}
    assert all(job.net is made.objective.net and isinstance(job.rule, Adam) for job in jobs)


def test_runs_of_a_population_are_told_how_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = expect(monkeypatch, "numba")
    made = small()
    one = {"objective": made.objective, "theta": made.theta, "X": made.X, "Y": made.Y, "epochs": 1, "engine": "auto"}
    runs = gn.train_many([one] * 3, n_threads=2)
    assert {job.alongside for job in jobs} == {3}
    assert {run.engine for run in runs} == {"numba"}


def test_auto_is_what_an_objective_has_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert small().objective.engine == "auto"
    for engine in ESTIMATES:
        expect(monkeypatch, engine)
        assert small().run(None).engine == engine  # type: ignore[arg-type]


def test_a_change_of_engine_between_two_runs_goes_on_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made = CASES["adam"].but(sampling="sequential")
    expect(monkeypatch, "numpy")
    first = made.run("auto", epochs=2)
    whole = made.run("auto", epochs=5)
    expect(monkeypatch, "numba")
    rest = gn.train(
        made.objective, first.theta, made.X, made.Y, epochs=3, batch_size=16, sampling="sequential",
        optimizer=Adam(0.01), rule_state=first.rule_state, engine="auto",
    )  # fmt: skip
    assert (first.engine, rest.engine) == ("numpy", "numba")
    np.testing.assert_allclose(rest.theta, whole.theta, rtol=0, atol=1e-12)


# ---- what cannot be compiled --------------------------------------------------------------------------------------


def test_what_cannot_be_compiled_runs_on_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "numba")
    own = small((lambda z: np.tanh(z) + 0 * z.max(), lambda z, a: 1 - a * a))
    run = own.run("auto")
    assert run.engine == "numpy"
    assert same(run, own.run("numpy"))


class Own:
    """Descent by a rule that states no formula."""

    learning_rate = 0.01

    def init(self, theta: Any, decayed: Any = None) -> RuleState:
        return RuleState(0, (), "Own")

    def step(self, grad: Any, state: RuleState, rate: float, theta: Any = None) -> Any:
        return -rate * grad, state._replace(t=state.t + 1)


def test_a_rule_without_a_formula_is_not_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = expect(monkeypatch, "numba")
    run = small().run("auto", optimizer=Own())
    assert (run.engine, run.estimate, jobs) == ("numpy", "", [])
    assert same(run, small().run("numpy", optimizer=Own()))


def test_it_evaluates_as_the_reference_does() -> None:
    made, engine, reference = small(), get_engine("auto"), get_engine("numpy")
    assert engine.name == "auto"
    assert fusing(engine) is engine
    assert fusing(reference) is None
    np.testing.assert_array_equal(
        engine.jacobian(made.objective.net, made.theta, made.X, None),
        reference.jacobian(made.objective.net, made.theta, made.X, None),
    )


# ---- estimators ---------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(40, 3))
MODELS: dict[str, tuple[Any, Any]] = {
    "MLPClassifier": (gn.MLPClassifier, (X[:, 0] > 0).astype(int)),
    "MLPRegressor": (gn.MLPRegressor, X[:, 0]),
}


def fitted(name: str, **options: Any) -> Any:
    model, y = MODELS[name]
    usual = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, "verbose": True}
    with pytest.warns(Warning, match="max_iter"):
        return model(**usual | options).fit(X, y)


@pytest.mark.parametrize("engine", ESTIMATES)
@pytest.mark.parametrize("name", MODELS)
def test_a_verbose_estimator_prints_the_estimate(
    name: str, engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expect(monkeypatch, engine)
    fitted(name)
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("engine ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"{ESTIMATES[engine]}; it took ")
    assert lines[0].endswith(" s")
    assert "engine " not in printed.out


@pytest.mark.parametrize("options", [{"verbose": False}, {"engine": "numpy"}, {"engine": "numba"}])
@pytest.mark.parametrize("name", MODELS)
def test_where_nothing_is_chosen_or_asked_none_is_printed(
    name: str, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(name, **options)
    printed = capsys.readouterr()
    assert "estimated" not in printed.out + printed.err


# ---- without Numba ------------------------------------------------------------------------------------------------

HIDDEN = """
import sys
from importlib.machinery import PathFinder

class WithoutNumba:
    @staticmethod
    def find_spec(name, path=None, target=None):
        hidden = name.partition(".")[0] in ("numba", "llvmlite")
        return None if hidden else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [WithoutNumba if finder is PathFinder else finder for finder in sys.meta_path]
"""
NONE = """
import sys
sys.modules["numba"] = None
"""
FIT = """
import numpy as np, glassnet as gn
from glassnet import Dense, Network, Objective
X = np.random.default_rng(0).normal(size=(20, 3))
net = Network(3, [Dense(4, "tanh"), Dense(1)])
same = {"objective": Objective(net, "squared_error"), "theta": net.init(0), "X": X, "Y": X[:, :1], "epochs": 3}
runs = [gn.train(**same, engine=ENGINE) for _ in range(3)]
runs += gn.train_many([{**same, "engine": ENGINE}] * 4, n_threads=2)
expected = gn.train(**same, engine="numpy")
assert all(run.engine == "numpy" and np.array_equal(run.theta, expected.theta) for run in runs)
print("ok")
"""
LINE = "glassnet: Numba is not installed: training runs on NumPy, several times slower (pip install numba).\n"


def python(code: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "OMP_NUM_THREADS") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**kept, "PYTHONPATH": str(Path(glassnet.__file__).parents[1])}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("hide", [HIDDEN, NONE])
@pytest.mark.parametrize("engine", ["auto", "numba"])
def test_without_numba_it_is_said_once_and_works(engine: str, hide: str) -> None:
    done = python(hide + FIT.replace("ENGINE", repr(engine)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", LINE)


def test_without_numba_numpy_is_silent() -> None:
    done = python(HIDDEN + FIT.replace("ENGINE", "'numpy'"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_both_engines_say_the_same_line() -> None:
    done = python(HIDDEN + FIT.replace("ENGINE", "'auto'") + FIT.replace("ENGINE", "'numba'"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\nok\n", LINE)


def test_the_compiled_engine_is_loaded_only_where_it_is_chosen() -> None:
    ask = "import sys; print('glassnet.engines.compiled' in sys.modules, 'numba' in sys.modules)"
    assert python(FIT.replace("ENGINE", "'auto'") + ask).stdout == "ok\nFalse False\n"


def test_a_run_that_was_chosen_for_it_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "numba")
    made = CASES["plain"].but(optimizer=SGD(0.02))
    assert same(made.run("auto"), compiled(made))
