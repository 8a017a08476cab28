"""Checkpoint(folder) and train(resume=folder): a run that was stopped ends as the one that never was, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet import checkpoints
from glassnet.errors import GlassnetError
from glassnet.history import Run
from glassnet.optimizers import RULES, Rule
from glassnet.stepping import FusedLoop, PlainLoop
from resume_runs import ENGINES, PowerCut, X, Y, cut_after, fit, same, stopped_and_resumed

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
