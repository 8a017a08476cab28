"""Checkpoint(folder) and train(resume=folder): a run that was stopped ends as the one that never was, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import kills
from sklearn.exceptions import ConvergenceWarning

import glassnet as gn
from glassnet import checkpoints
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord, Run
from glassnet.optimizers import RULES, Rule
from glassnet.stepping import FusedLoop, PlainLoop

ENGINES = ("numpy", "numba")
NET = gn.Network(3, [gn.Dense(6, "tanh"), gn.BatchNorm(), gn.Dropout(0.2), gn.Dense(2)])
DRAWN = np.random.default_rng(5)
X = DRAWN.normal(size=(53, 3))
Y = np.sin(X[:, :2]) + 0.1 * DRAWN.normal(size=(53, 2))


class PowerCut(Exception):
    """What ends a run in these tests."""


def cut_after(epoch: int) -> Callable[[EpochRecord], None]:
    def cut(record: EpochRecord) -> None:
        if record.epoch > epoch:
            raise PowerCut

    return cut


def fit(net: gn.Network = NET, dtype: type = np.float64, **options: Any) -> Run:
    usual = {"epochs": 9, "batch_size": 16, "optimizer": gn.Adam(0.01), "rng": 3}
    objective = gn.Objective(net, "squared_error", l2=1e-3)
    return gn.train(objective, net.init(rng=1, dtype=dtype), X, Y, **{**usual, **options})


def same(run: Run, whole: Run) -> None:
    """All that a run returns, but its seconds, and the forecast of the time for the epochs that were asked for."""
    assert (run.status, run.reason, run.engine) == (whole.status, whole.reason, whole.engine)
    assert run.theta.dtype == whole.theta.dtype
    assert run.theta.tobytes() == whole.theta.tobytes()
    assert run.state.tobytes() == whole.state.tobytes()
    assert run.history.columns == whole.history.columns
    for column in set(run.history.columns) - {"seconds"}:
        assert run.history[column].tobytes() == whole.history[column].tobytes(), column
    assert (run.rule_state is None) == (whole.rule_state is None)
    if run.rule_state is not None and whole.rule_state is not None:
        assert (run.rule_state.t, run.rule_state.rule) == (whole.rule_state.t, whole.rule_state.rule)
        for slot, other in zip(run.rule_state.slots, whole.rule_state.slots, strict=True):
            assert slot.tobytes() == other.tobytes()


def stopped_and_resumed(
    folder: Path,
    epoch: int,
    run: Callable[..., Run] = fit,
    every: int = 1,
    callbacks: tuple[Any, ...] = (),
    **options: Any,
) -> Run:
    """Run until the power is cut in the epoch after `epoch`, then go on in what is left."""
    with pytest.raises(PowerCut):
        run(callbacks=[*callbacks, gn.Checkpoint(folder, every), cut_after(epoch)], **options)
    return run(callbacks=[*callbacks, gn.Checkpoint(folder, every)], resume=folder, **options)


# ---- the same result ----------------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Rule] = {name: make() for name, make in RULES.items()} | {
    "momentum": gn.SGD(0.05, momentum=0.9),
    "nesterov": gn.SGD(0.05, momentum=0.9, nesterov=True),
    "clipped": gn.ClipNorm(gn.Adam(0.01), 0.5),
    "cosine": gn.Adam(gn.schedules.Cosine(0.05, 36)),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rules(tmp_path: Path, engine: str, optimizer: str) -> None:
    options: dict[str, Any] = {"engine": engine, "optimizer": OPTIMIZERS[optimizer]}
    same(stopped_and_resumed(tmp_path, 4, **options), fit(**options))


def every_third(m: int, size: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, m // 3, m) * 3


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("sampling", ["shuffle", "sequential", "bootstrap", "batches", every_third])
def test_samplings(tmp_path: Path, engine: str, sampling: Any, average: float | None) -> None:
    options: dict[str, Any] = {"engine": engine, "sampling": sampling, "average": average, "dtype": np.float32}
    same(stopped_and_resumed(tmp_path, 5, every=2, **options), fit(**options))


CALLBACKS: dict[str, tuple[Any, ...]] = {
    "early stopping": (gn.EarlyStopping(2, min_delta=0.02),),
    "best weights": (gn.EarlyStopping(50),),
    "plateau": (gn.ReduceOnPlateau(0.5, 1, min_delta=0.02),),
    "both": (gn.ReduceOnPlateau(0.5, 1, min_delta=0.02), gn.EarlyStopping(4, min_delta=0.01)),
    "target": (gn.TargetReached(0.35, "validation_loss"),),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("epoch", [1, 3, 7])
@pytest.mark.parametrize("callbacks", CALLBACKS)
def test_callbacks(tmp_path: Path, engine: str, callbacks: str, epoch: int) -> None:
    metrics = {"error": lambda a, y: float(np.abs(a - y).max())}
    options: dict[str, Any] = {"engine": engine, "validation": (X[:9] + 0.1, Y[:9]), "metrics": metrics, "epochs": 30}
    whole = fit(callbacks=CALLBACKS[callbacks], **options)
    if len(whole.history) <= epoch:
        epoch = len(whole.history) - 1
    same(stopped_and_resumed(tmp_path, epoch, callbacks=CALLBACKS[callbacks], **options), whole)


def test_the_callbacks_of_these_tests_do_something() -> None:
    options: dict[str, Any] = {"validation": (X[:9] + 0.1, Y[:9]), "epochs": 30, "engine": "numpy"}
    runs = {name: fit(callbacks=callbacks, **options) for name, callbacks in CALLBACKS.items()}
    assert {name: run.status for name, run in runs.items() if run.status != "completed"}.keys() >= {"early stopping"}
    assert len(set(runs["plateau"].history["learning_rate"])) > 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("every", [1, 3, 4])
def test_how_often(tmp_path: Path, engine: str, every: int) -> None:
    """With `every` above 1 the engine runs several epochs in one call."""
    options: dict[str, Any] = {"engine": engine, "sample_weight": np.linspace(0.5, 1.5, 53)}
    same(stopped_and_resumed(tmp_path, 8, every=every, **options), fit(**options))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["Philox", "SFC64", "MT19937"])
def test_generators_of_other_kinds(tmp_path: Path, engine: str, kind: str) -> None:
    def run(**options: Any) -> Run:
        seeded = getattr(np.random, kind)(np.random.SeedSequence(7))
        return fit(rng=np.random.Generator(seeded), engine=engine, **options)

    same(stopped_and_resumed(tmp_path, 4, run), run())


@pytest.mark.parametrize("engine", ENGINES)
def test_many_stops_in_one_run(tmp_path: Path, engine: str) -> None:
    for epoch in (1, 2, 5, 6):
        with pytest.raises(PowerCut):
            fit(engine=engine, callbacks=[gn.Checkpoint(tmp_path), cut_after(epoch)], resume=tmp_path)
    same(fit(engine=engine, resume=tmp_path), fit(engine=engine))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_finished_run_is_only_read_and_more_epochs_can_be_added(tmp_path: Path, engine: str) -> None:
    whole = fit(engine=engine, callbacks=[gn.Checkpoint(tmp_path)])
    same(fit(engine=engine, resume=tmp_path), whole)
    same(fit(engine=engine, resume=tmp_path, epochs=12), fit(engine=engine, epochs=12))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_diverges_after_the_stop(tmp_path: Path, engine: str) -> None:
    """It falls back to theta of the epoch before the last: that, too, has been stored."""
    rule = gn.SGD(gn.schedules.Piecewise((18,), (0.01, 1e200)))
    options: dict[str, Any] = {"engine": engine, "optimizer": rule}
    whole = fit(**options)
    assert whole.status == "diverged"
    same(stopped_and_resumed(tmp_path, len(whole.history) - 1, **options), whole)


def test_auto_keeps_the_engine(tmp_path: Path) -> None:
    wide = gn.Network(3, [gn.Dense(2)])
    for number, engine in enumerate(ENGINES):
        folder = tmp_path / str(number)
        with pytest.raises(PowerCut):
            fit(wide, engine=engine, callbacks=[gn.Checkpoint(folder), cut_after(3)])
        run = fit(wide, engine="auto", resume=folder)
        assert run.engine == engine
        same(run, fit(wide, engine=engine))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_batch_and_no_statistics(tmp_path: Path, engine: str) -> None:
    options: dict[str, Any] = {"net": gn.Network(3, [gn.Dense(2)]), "dtype": np.float32, "batch_size": 53}
    same(stopped_and_resumed(tmp_path, 4, engine=engine, **options), fit(engine=engine, **options))


def test_seconds_go_on(tmp_path: Path) -> None:
    run = stopped_and_resumed(tmp_path, 4)
    assert (np.diff(run.history["seconds"]) > 0).all()
    assert run.seconds >= run.history["seconds"][-1]


def test_two_generations_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-00000001.safetensors.0123.tmp").write_bytes(b"what a kill has left")
    fit(callbacks=[gn.Checkpoint(tmp_path, 2)])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"checkpoint-0000000{e}.safetensors" for e in (6, 8)]


# ---- estimators ---------------------------------------------------------------------------------------------------

ESTIMATORS: dict[str, dict[str, Any]] = {
    "usual": {},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "tol": 1e-3},
    "scoring": {"early_stopping": True, "scoring": "neg_mean_absolute_error", "solver": "sgd", "momentum": 0.5},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "shuffle": False},
    "dropout": {"dropout": 0.2, "batch_norm": True, "dtype": "float32"},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", ESTIMATORS)
def test_estimators(tmp_path: Path, engine: str, options: str) -> None:
    def model(*callbacks: Any) -> gn.MLPRegressor:
        arguments = {"max_iter": 14, "batch_size": 16, "random_state": 1, "tol": 0.0, "learning_rate_init": 0.01}
        arguments |= {"hidden_layer_sizes": (6,), "engine": engine, **ESTIMATORS[options]}
        return gn.MLPRegressor(callbacks=list(callbacks), **arguments)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = model().fit(X, Y)
        with pytest.raises(PowerCut):
            model(gn.Checkpoint(tmp_path, resume=True), cut_after(min(6, whole.n_iter_ - 1))).fit(X, Y)
        resumed = model(gn.Checkpoint(tmp_path, resume=True)).fit(X, Y)
    assert resumed.theta_.tobytes() == whole.theta_.tobytes()
    assert resumed.state_.tobytes() == whole.state_.tobytes()
    assert (resumed.status_, resumed.stop_reason_) == (whole.status_, whole.stop_reason_)
    assert (resumed.n_iter_, resumed.t_, resumed.loss_curve_) == (whole.n_iter_, whole.t_, whole.loss_curve_)
    assert (resumed.validation_scores_, resumed.best_loss_) == (whole.validation_scores_, whole.best_loss_)
    assert resumed.history_.columns == whole.history_.columns


def test_an_estimator_that_forgets_the_order_of_its_rows_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glassnet.estimators.continuing.InTurn.restore", lambda self, stored: None)
    with pytest.raises(AssertionError):
        test_estimators(tmp_path, "numpy", "usual")


def test_not_sooner_than_some_seconds(tmp_path: Path) -> None:
    fit(callbacks=[gn.Checkpoint(tmp_path, seconds=3600)])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(GlassnetError, match="seconds must be at least 0"):
        gn.Checkpoint(tmp_path, seconds=-1)
    with pytest.raises(GlassnetError, match="a folder to resume from"):
        gn.Checkpoint(print, resume=True)


# ---- planted faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("forgotten", ["slots", "average", "first"])
def test_a_checkpoint_that_forgets_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, forgotten: str
) -> None:
    options: dict[str, Any] = {"engine": engine, "average": 0.9}
    whole = fit(**options)
    for loop in (PlainLoop, FusedLoop):
        monkeypatch.setattr(loop, "standing", _forgetful(loop.standing, forgotten))
    with pytest.raises(AssertionError):
        same(stopped_and_resumed(tmp_path, 4, **options), whole)


def _forgetful(standing: Callable[[Any], Any], forgotten: str) -> Callable[[Any], Any]:
    def forget(loop: Any) -> Any:
        whole = standing(loop)
        if forgotten == "slots":
            return replace(whole, slots=tuple(np.zeros_like(slot) for slot in whole.slots))
        if forgotten == "average":
            return replace(whole, average=whole.theta.copy())
        return replace(whole, theta=np.nextafter(whole.theta, 1.0))

    return forget


@pytest.mark.parametrize("engine", ENGINES)
def test_a_generator_that_is_forgotten_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    read = checkpoints._read

    def forget(path: Path) -> dict[str, Any]:
        content = read(path)
        return {**content, "order": np.random.default_rng(3).bit_generator.state}

    monkeypatch.setattr(checkpoints, "_read", forget)
    with pytest.raises(AssertionError):
        same(stopped_and_resumed(tmp_path, 4, engine=engine), fit(engine=engine))


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 8}, "batch_size of a run resumed from .* must be 16, received 8"),
        ({"optimizer": gn.Adam(0.02)}, "optimizer of a run resumed"),
        ({"sampling": "bootstrap"}, "sampling of a run resumed"),
        ({"average": 0.5}, "average of a run resumed"),
        ({"dtype": np.float32}, "dtype of theta"),
        ({"net": gn.Network(3, [gn.Dense(2)])}, "network of a run resumed"),
        ({"sample_weight": np.full(53, 2.0)}, "X, Y and sample_weight of a run resumed"),
        ({"validation": (X, Y)}, "validation of a run resumed"),
        ({"epochs": 2}, "epochs must be at least the 4 that were run, received 2"),
        ({"engine": "numba"}, "engine must be 'numpy', which ran the stored epochs, received 'numba'"),
        ({"callbacks": [gn.EarlyStopping()]}, "callbacks of a run resumed from .* none that remember, received Early"),
        ({"rng": np.random.Generator(np.random.Philox(1))}, "a checkpoint of a run like this"),
    ],
)
def test_another_run_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    fit(engine="numpy", epochs=4, callbacks=[gn.Checkpoint(tmp_path)])
    with pytest.raises(GlassnetError, match=message):
        fit(**{"engine": "numpy", "resume": tmp_path, **change})


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(GlassnetError, match="resume must be a folder with checkpoints"):
        fit(resume=tmp_path / "typo", callbacks=[gn.Checkpoint(tmp_path / "run")])
    same(fit(resume=tmp_path / "run", callbacks=[gn.Checkpoint(tmp_path / "run")]), fit())


def test_the_checkpoints_of_another_run_are_not_overwritten(tmp_path: Path) -> None:
    fit(callbacks=[gn.Checkpoint(tmp_path)])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(GlassnetError, match=r"another run's checkpoints, received epoch 9\. resume="):
        fit(callbacks=[gn.Checkpoint(tmp_path)])
    assert sorted(tmp_path.iterdir()) == before


def test_only_train_can_resume(tmp_path: Path) -> None:
    net, callbacks = gn.Network(3, [gn.Dense(2)]), [gn.Checkpoint(tmp_path)]
    with pytest.raises(GlassnetError, match=r"a callback of glassnet\.train"):
        gn.minimize(gn.Objective(net, "squared_error"), net.init(rng=0), X, Y, callbacks=callbacks)
    options: dict[str, Any]
    for options in ({"random_state": None}, {"solver": "lbfgs"}, {"warm_start": True}):
        model = gn.MLPRegressor(max_iter=2, callbacks=callbacks, **{"random_state": 0, **options})
        with pytest.raises(GlassnetError, match=r"a callback of glassnet\.train, or of the fit of an estimator"):
            model.fit(X, Y)
    with pytest.raises(GlassnetError, match="one Checkpoint"):
        gn.MLPRegressor(max_iter=2, callbacks=callbacks * 2, random_state=0).fit(X, Y)
    assert list(tmp_path.iterdir()) == []


# ---- damage -------------------------------------------------------------------------------------------------------


def damage(path: Path, how: str, seed: int = 0) -> None:
    data = bytearray(path.read_bytes())
    place = int(np.random.default_rng(seed).integers(len(data)))
    if how == "truncated":
        data = data[:place]
    elif how == "flipped":
        data[place] ^= 1 << seed % 8
    else:
        data = bytearray()
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty"])
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_newest_checkpoint(tmp_path: Path, how: str, seed: int) -> None:
    fit(epochs=5, callbacks=[gn.Checkpoint(tmp_path)])
    damage(tmp_path / "checkpoint-00000005.safetensors", how, seed)
    with pytest.warns(RuntimeWarning, match=r"is damaged .*checkpoint-00000005.* of epoch 4"):
        run = fit(resume=tmp_path, callbacks=[gn.Checkpoint(tmp_path, 3)])
    same(run, fit())
    # the damaged one is not taken for one of the two that are kept
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"checkpoint-0000000{e}.safetensors" for e in (6, 9)]


def test_the_damaged_one_is_not_kept_in_place_of_a_whole_one(tmp_path: Path) -> None:
    fit(epochs=5, callbacks=[gn.Checkpoint(tmp_path)])
    damage(tmp_path / "checkpoint-00000005.safetensors", "truncated")
    with pytest.warns(RuntimeWarning, match="is damaged"):
        fit(epochs=6, resume=tmp_path, callbacks=[gn.Checkpoint(tmp_path, 6)])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"checkpoint-0000000{e}.safetensors" for e in (4, 6)]


def test_all_damaged(tmp_path: Path) -> None:
    fit(epochs=5, callbacks=[gn.Checkpoint(tmp_path)])
    for path in tmp_path.iterdir():
        damage(path, "truncated")
    with pytest.raises(GlassnetError, match=r"a folder with a whole checkpoint, received .*00000005.*00000004"):
        fit(resume=tmp_path)


@pytest.mark.parametrize("failing", ["fsync", "mkdir"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """Training goes on, it is said, and the last good checkpoint is still there."""
    folder = tmp_path / "run"
    with pytest.raises(PowerCut):
        fit(callbacks=[gn.Checkpoint(folder), cut_after(4)])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "mkdir")), full)
        with pytest.warns(RuntimeWarning, match=r"could not be written .*No space left.*00000004") as told:
            same(fit(resume=folder, callbacks=[gn.Checkpoint(folder)]), fit())
    assert [str(one.message)[:25] for one in told] == [f"the checkpoint of epoch {e}" for e in range(5, 10)]
    assert sorted(p.name for p in folder.iterdir()) == [f"checkpoint-0000000{e}.safetensors" for e in (3, 4)]
    same(fit(resume=folder), fit())


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Half of the temporary file is written before the system refuses: nothing of it is left."""
    resource = pytest.importorskip("resource", reason="needs limits of a Unix system")
    fit(epochs=4, callbacks=[gn.Checkpoint(tmp_path)])
    whole, before = fit(), sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match=r"could not be written .*File too large.*00000004"):
            run = fit(resume=tmp_path, callbacks=[gn.Checkpoint(tmp_path, 9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    same(run, whole)
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="epoch 9 could not be written .* none has been written"):
        same(fit(callbacks=[gn.Checkpoint(tmp_path / "file" / "run", 9)]), fit())


# ---- kills --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kills(tmp_path: Path) -> None:
    """From outside, in the middle of a write, before the renaming: see benchmarks/kills.py."""
    killed = kills.one(("numba", "Adam", 0), 3, np.random.default_rng(0), tmp_path)
    assert killed.equal
    assert killed.ways == kills.WAYS
    assert killed.unfinished >= 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_that_starts_anew_after_a_kill_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself: the killed run is given other data."""
    start = kills.process
    monkeypatch.setattr(
        kills, "process", lambda folder, case, *more: start(folder, (*case[:2], int(not folder)), *more)
    )
    assert not kills.one(("numpy", "Adam", 2), 1, np.random.default_rng(2), tmp_path, first=2).equal


class Ended:
    """A process that has ended before it could be killed."""

    def __enter__(self) -> Ended:
        return self

    def __exit__(self, *error: object) -> None: ...

    def wait(self, seconds: float) -> int:
        return 0


def test_a_run_too_fast_to_be_killed_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has ended nothing can kill it: waiting for that would never end."""

    def process(folder: Path | None, case: object, result: Path, way: str, number: int) -> Ended:
        result.write_text("{}")
        return Ended()

    monkeypatch.setattr(kills, "process", process)
    with pytest.raises(RuntimeError, match="ended before they could be killed 3 times"):
        kills.one(("numpy", "Adam", 0), 3, np.random.default_rng(0), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_many_kills() -> None:
    command = [sys.executable, "-m", "benchmarks.kills", "--times", "30"]
    source = str(Path(gn.__file__).parents[1])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, check=True)
    assert "30 of 30 kills resumed bit for bit" in done.stdout
