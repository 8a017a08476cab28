"""stepping.py: the plain loop and an engine's own one are told apart by nothing but their speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from engine_runs import BOUNDS, Case, case, check, compiled, same, small
from glassnet import SGD, BatchNorm, ClipNorm, Dense, Dropout
from glassnet.callbacks import Request
from glassnet.divergence import BLOW_UP
from glassnet.engines.contract import Job
from glassnet.history import EpochRecord, Run
from glassnet.optimizers import RULES
from glassnet.stepping import FusedLoop, PlainLoop, Setting, Start, begin

NORMED = case(
    [Dense(8, "tanh", bias=False), BatchNorm(0.9), Dropout(0.1), Dense(3, "softmax")], "cross_entropy", l2=0.01
)
HELD_OUT = NORMED.X[:9] + 0.3, NORMED.Y[9:18]


def error(a: Any, y: Any) -> float:
    return float(np.abs(a - y).mean())


# ---- callbacks, validation, metrics -------------------------------------------------------------------------------


def halve(record: EpochRecord) -> Request | None:
    return Request(rate_factor=0.5) if record.epoch % 2 == 0 else None


def stop_at_four(record: EpochRecord) -> Request | None:
    return Request("stopped", "four are enough") if record.epoch == 4 else None


CALLBACKS: dict[str, Callable[[], list[Any]]] = {
    "none": list,
    "early stopping": lambda: [gn.EarlyStopping(2)],
    "early stopping, last weights": lambda: [gn.EarlyStopping(2, restore_best=False)],
    "early stopping on the loss": lambda: [gn.EarlyStopping(3, monitor="loss", min_delta=0.1)],
    "early stopping on a metric": lambda: [gn.EarlyStopping(2, monitor="validation_error", mode="max")],
    "target": lambda: [gn.TargetReached(1.05)],
    "plateau": lambda: [gn.ReduceOnPlateau(0.5, patience=1, min_delta=0.05)],
    "time, used up": lambda: [gn.TimeBudget(0.0)],
    "time, plenty": lambda: [gn.TimeBudget(1e6)],
    "rate": lambda: [halve],
    "stop": lambda: [stop_at_four],
    "all": lambda: [halve, gn.ReduceOnPlateau(0.5, patience=1), gn.EarlyStopping(20), stop_at_four],
}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("which", CALLBACKS)
def test_callbacks_see_and_get_the_same(which: str, dtype: type) -> None:
    options = {"epochs": 12, "validation": HELD_OUT, "metrics": {"error": error}, "optimizer": SGD(0.05, momentum=0.5)}
    theirs = NORMED.run("numpy", dtype, callbacks=CALLBACKS[which](), **options)
    ours = compiled(NORMED, dtype, callbacks=CALLBACKS[which](), **options)
    check(ours, theirs, BOUNDS[dtype])
    for name in ("validation_loss", "validation_error"):
        np.testing.assert_allclose(ours.history[name], theirs.history[name], rtol=0, atol=10 * BOUNDS[dtype])


@pytest.mark.parametrize("options", [{}, {"average": 0.9}])
def test_records_hold_the_same(options: dict[str, Any]) -> None:
    records: dict[str, list[EpochRecord]] = {"numpy": [], "numba": []}
    for engine, seen in records.items():
        NORMED.run(engine, callbacks=[seen.append], validation=HELD_OUT, **options)
    for ours, theirs in zip(records["numba"], records["numpy"], strict=True):
        assert (ours.epoch, ours.updates, ours.epochs) == (theirs.epoch, theirs.updates, theirs.epochs)
        np.testing.assert_allclose(ours.theta, theirs.theta, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.state, theirs.state, rtol=0, atol=1e-12)
        assert ours.penalty == pytest.approx(theirs.penalty, rel=1e-12)
        assert not ours.theta.flags.writeable
        assert not ours.state.flags.writeable


def test_the_theta_of_a_record_stays_what_it_was() -> None:
    """A callback may keep it: the loop goes on in memory of its own."""
    kept: list[Any] = []
    compiled(NORMED, epochs=5, callbacks=[lambda record: kept.append((record.theta, record.theta.copy()))])
    assert all(np.array_equal(now, then) for now, then in kept)
    assert len({theta.tobytes() for theta, _ in kept}) == 5


def test_a_callback_that_raises_is_heard() -> None:
    def fail(record: EpochRecord) -> None:
        raise ZeroDivisionError("in a callback")

    with pytest.raises(ZeroDivisionError, match="in a callback"):
        NORMED.run("numba", callbacks=[fail])
    compiled(NORMED)  # the next run is none the worse


# ---- Ctrl-C -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupt_in_a_callback_keeps_the_epoch(epoch: int) -> None:
    def interrupt(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise KeyboardInterrupt

    ours, theirs = (
        compiled(NORMED, epochs=10, callbacks=[interrupt]),
        NORMED.run("numpy", epochs=10, callbacks=[interrupt]),
    )
    check(ours, theirs, 1e-12)
    assert (ours.status, len(ours.history)) == ("stopped", epoch)
    np.testing.assert_array_equal(ours.theta, compiled(NORMED, epochs=epoch).theta)


def interrupted_after(calls: int, one: Case, **options: Any) -> Run:
    """Interrupt a run that nobody watches between two calls of the compiled loop: where its schedule is asked."""
    asked = []

    def schedule(t: int) -> float:
        asked.append(t)
        if len(asked) == calls + 1:  # once: the history asks the schedule again
            raise KeyboardInterrupt
        return 0.01

    return one.run("numba", optimizer=gn.Adam(schedule), **options)


def test_an_interrupt_between_two_calls_gives_the_last_whole_epoch() -> None:
    """The first call is of 16 batches: 5 epochs of 3 batches, and one batch of the sixth."""
    run = interrupted_after(20, small(), epochs=1000)
    assert run.status == "stopped"
    whole = compiled(small(), epochs=len(run.history), optimizer=gn.Adam(lambda t: 0.01))
    assert 0 < len(run.history) < 1000
    np.testing.assert_array_equal(run.theta, whole.theta)
    np.testing.assert_array_equal(run.history["loss"], whole.history["loss"])
    assert run.reason == f"interrupted in epoch {len(run.history) + 1}"
    assert run.rule_state is None or run.rule_state.t == 3 * len(run.history)


def test_an_interrupt_before_the_first_epoch_gives_the_start() -> None:
    run = interrupted_after(0, small())
    assert (run.status, len(run.history)) == ("stopped", 0)
    np.testing.assert_array_equal(run.theta, small().theta)
    assert np.isnan(run.loss)


# ---- going on -----------------------------------------------------------------------------------------------------

IN_ORDER = NORMED.but(sampling="sequential")
IN_ORDER = replace(IN_ORDER, objective=case([Dense(8, "tanh", bias=False), BatchNorm(0.9), Dense(3)]).objective)
IN_ORDER = replace(IN_ORDER, theta=IN_ORDER.objective.net.init(rng=1))


@pytest.mark.parametrize("rule", [*RULES, SGD(0.01, momentum=0.9), ClipNorm(gn.Adam(), 0.1)], ids=str)
def test_two_runs_are_one(rule: Any) -> None:
    """3 epochs and 3 more with what the rule and BatchNorm remember: to the bit the 6 at once, on one engine."""
    options = {"optimizer": rule, "sampling": "sequential"}
    whole = compiled(IN_ORDER, epochs=6, **options)
    half = compiled(IN_ORDER, epochs=3, **options)
    rest = compiled(
        replace(IN_ORDER, theta=half.theta), epochs=3, state=half.state, rule_state=half.rule_state, **options
    )
    np.testing.assert_array_equal(rest.theta, whole.theta)
    np.testing.assert_array_equal(rest.state, whole.state)
    assert rest.rule_state.t == whole.rule_state.t == 18
    for one, other in zip(rest.rule_state.slots, whole.rule_state.slots, strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(rest.history["updates"]) == [12, 15, 18]


@pytest.mark.parametrize("first", ["numpy", "numba"])
@pytest.mark.parametrize("rule", RULES)
def test_one_engine_goes_on_where_the_other_stood(rule: str, first: str) -> None:
    second = {"numpy": "numba", "numba": "numpy"}[first]
    options = {"optimizer": rule, "sampling": "sequential"}
    smooth = small().but(**options)
    half = smooth.run(first, epochs=2)
    rest = replace(smooth, theta=half.theta).run(second, epochs=2, rule_state=half.rule_state)
    np.testing.assert_allclose(rest.theta, smooth.run("numpy", epochs=4).theta, rtol=0, atol=1e-11)


def test_the_state_of_the_rule_is_the_callers_to_keep() -> None:
    run = compiled(small(), optimizer="adam")
    again = compiled(small(), optimizer="adam")
    assert all(slot.flags.writeable for slot in run.rule_state.slots)
    for slot in run.rule_state.slots:
        slot[:] = 0
    assert same(again, compiled(small(), optimizer="adam"))


def test_after_divergence_the_rule_remembers_nothing() -> None:
    steep = small().but(optimizer=SGD(1e6, momentum=0.5), epochs=20)
    run = compiled(steep)
    assert (run.status, run.rule_state) == ("diverged", None)
    check(run, steep.run("numpy"), 1e-9)


def test_where_other_weights_come_back_the_rule_remembers_nothing() -> None:
    climbing = {"optimizer": SGD(0.05), "epochs": 20, "validation": (small().X, -small().Y)}
    assert compiled(small(), callbacks=[gn.EarlyStopping(2)], **climbing).rule_state is None
    assert compiled(small(), callbacks=[gn.EarlyStopping(2, restore_best=False)], **climbing).rule_state is not None


# ---- which loop runs ----------------------------------------------------------------------------------------------


def setting(engine: str, **changes: Any) -> tuple[Setting, Start]:
    """What `train` hands to `begin`."""
    from glassnet.sampling import SAMPLINGS, Batches
    from glassnet.schedules import Constant

    one = NORMED
    order, noise = np.random.default_rng(0).spawn(2)
    rule = changes.pop("rule", gn.Adam(0.01))
    batches = Batches(len(one.X), 16, SAMPLINGS[changes.pop("sampling", "shuffle")], False)
    parts = {"objective": replace(one.objective, engine=engine), "rule": rule, "schedule": Constant(0.01)}
    data = {
        "data": (one.X, one.Y, None),
        "batches": batches,
        "order": order,
        "noise": noise,
        "average": None,
        "epochs": 100,
    }
    state = one.objective.net.init_state()
    return Setting(**parts, **data, **changes), Start(
        one.theta.copy(), state, rule.init(one.theta, one.objective.net.weights)
    )


@pytest.mark.parametrize(
    ("engine", "options", "kind"),
    [
        ("numpy", {}, PlainLoop),
        ("numba", {}, FusedLoop),
        ("numba", {"sampling": "sequential"}, FusedLoop),
        ("numba", {"sampling": "bootstrap"}, FusedLoop),
        ("numba", {"sampling": "batches"}, FusedLoop),
        ("numba", {"rule": ClipNorm(gn.Adam(0.01))}, FusedLoop),
    ],
)
def test_an_engines_own_loop_runs_what_it_can(engine: str, options: dict[str, Any], kind: type) -> None:
    assert type(begin(*setting(engine, **options))) is kind


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_both_loops_answer_alike(epochs: int) -> None:
    fused, plain = (begin(*setting(engine)) for engine in ("numba", "numpy"))
    done = {id(loop): [] for loop in (fused, plain)}
    for loop in (fused, plain):
        while loop.epochs < epochs:
            done[id(loop)].extend(loop.advance(epochs - loop.epochs))
    np.testing.assert_allclose(done[id(fused)], done[id(plain)], rtol=1e-11)
    assert fused.updates == plain.updates == 3 * epochs
    for back in (0, 1):
        for one, other in zip(fused.kept(back), plain.kept(back), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    assert fused.trouble() is None
    assert fused.last_look() is None
    ours, theirs = fused.rule_state(), plain.rule_state()
    assert (ours.t, ours.rule) == (theirs.t, theirs.rule)


def test_before_the_first_epoch_both_stand_at_the_start() -> None:
    for engine in ("numba", "numpy"):
        given, start = setting(engine)
        loop = begin(given, start)
        assert (loop.epochs, loop.updates) == (0, 0)
        for back in (0, 1):
            np.testing.assert_array_equal(loop.kept(back)[0], NORMED.theta)
        assert loop.last_look() is None
        assert loop.rule_state().t == 0


def test_a_rate_factor_is_obeyed_from_the_next_epoch_on() -> None:
    fused, plain = (begin(*setting(engine)) for engine in ("numba", "numpy"))
    for loop in (fused, plain):
        loop.advance(1)
        loop.rate_factor = 0.1
        loop.advance(1)
    np.testing.assert_allclose(fused.kept()[0], plain.kept()[0], rtol=0, atol=1e-12)


def test_the_job_is_the_run_in_the_engines_terms() -> None:
    jobs: list[Job] = []
    engine = gn.engines.get_engine("numba")

    def seen(job: Job, *rest: Any) -> None:
        jobs.append(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "fuse", seen)
        NORMED.run("numba", drop_last=True, average=0.9, n_threads=1, sample_weight=np.ones(41))
    (job,) = jobs
    assert (job.batch_size, job.rows, job.shuffle, job.average, job.n_threads) == (16, 32, True, 0.9, 1)
    assert (job.l1, job.l2, job.blow_up) == (0.0, 0.01, BLOW_UP)
    assert job.net is NORMED.objective.net
    assert job.X is NORMED.X, "rows are not copied"
