"""A few epochs on a copy, and short experiments that tell causes apart.

Where the loss hardly falls in five epochs, a rate that is too high and one that is too low look alike. So it is tried:
a copy with a tenth of the rate, ten times the rate, smaller or larger batches is trained for two epochs more; what gets
further in two epochs than the run in five is what was missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glassnet.arrays import Array
from glassnet.history import Run
from glassnet.insight.data_signs import finding
from glassnet.insight.findings import Finding
from glassnet.insight.patient import Case, data_losses
from glassnet.insight.remedies import Change, apply
from glassnet.insight.vital_signs import Look, look

__all__ = ["EPOCHS", "Course", "course_findings", "follow", "gets_there", "sampled"]

EPOCHS, TRIAL_EPOCHS = 5, 2
LEARNED = 0.35
"""Below this share of the blind loss after five epochs a run is learning, and no experiment is made."""
FURTHER = 0.15
"""An experiment counts where it ends lower by this share of the blind loss."""
STRAYED = 0.5
"""Weights that have moved by this share of their length and have learned nothing have gone too fast."""
FEW_EPOCHS = 10
TINY_BATCH, USUAL_BATCH = 4, 32
USUAL_RATE = 0.01
ROWS = 500


@dataclass(frozen=True)
class Course:
    """Five epochs: the data term of the loss in each (while theta moved), before the first and after the last."""

    run: Run
    losses: tuple[float, ...]
    first: float
    last: float
    blind: float
    end: Look
    moved: float
    """|theta - start| / |start|."""

    @property
    def level(self) -> float:
        """The loss that is left, as a share of that of the best constant prediction."""
        return self.last / self.blind if self.blind > 0 else 0.0

    @property
    def jumpy(self) -> bool:
        """Whether the loss rises as well as falls, or the first epoch was worse than no training."""
        path = np.array(self.losses)
        moves = np.diff(path)
        up = float(np.maximum(moves, 0.0).sum())
        rises = up > 0.2 * float(np.abs(moves).sum()) and up > 0.02 * self.blind
        leapt = bool(len(path)) and path[0] > 1.3 * max(self.first, self.blind)
        return rises or leapt or self.last > 1.5 * max(self.first, self.blind)


def sampled(case: Case) -> tuple[Array, Array]:
    """Return at most `ROWS` rows of the case, evenly spaced."""
    rows = np.linspace(0, len(case.X) - 1, min(len(case.X), ROWS)).astype(int)
    return case.X[rows], case.Y[rows]


def follow(case: Case, first: float, blind: float) -> Course:
    """Train a copy for five epochs and look at it."""
    run = case.run(EPOCHS)
    losses = data_losses(run.history)
    last = float("inf") if run.status == "diverged" else case.data_loss(run.theta, run.state, sampled(case))
    moved = float(np.linalg.norm(run.theta - case.theta)) / max(float(np.linalg.norm(case.theta)), 1e-300)
    return Course(run, tuple(losses.tolist()), first, last, blind, look(case, run.theta, run.state), moved)


def course_findings(case: Case, course: Course, start: Look, stuck: bool = False) -> Iterator[Finding]:
    """Return the findings on how the loss went, the cause first; experiments are made only where it hardly fell.

    `stuck`: the start alone explains why the data have no gradient, so that the penalty's says nothing.
    """
    penalised = None if stuck else _penalty(case, course, start)
    if penalised is not None:
        yield penalised
        return
    if case.rule is None:
        return
    if course.run.status != "diverged" and (short := _cut_short(case, course)) is not None:
        yield short
        return
    if course.run.status != "diverged" and course.level < LEARNED:
        return
    astray = course.level > 0.97 and course.moved > STRAYED
    if course.run.status == "diverged" or course.jumpy or astray:
        yield from _too_fast(case, course)
    else:
        yield from _too_slow(case, course)


def _penalty(case: Case, course: Course, start: Look) -> Finding | None:
    ratio = start.penalty_gradient / max(start.data_gradient, 1e-300)
    at_end = course.end.penalty_gradient / max(course.end.data_gradient, 1e-300)
    shrunk = course.end.penalty_gradient < start.penalty_gradient
    held_back = course.level > 0.6 and at_end > 0.5 and shrunk and course.run.status != "diverged"
    if not start.penalty_gradient or not (ratio > 1.0 or held_back):
        return None
    factor = float(f"{0.01 / max(ratio, at_end if held_back else 0.0):.1g}")
    return finding(
        case, "penalty_dominates", "l1 and l2" if case.objective.l1 and case.objective.l2 else
        "l1" if case.objective.l1 else "l2", "warning",
        {"penalty gradient over data gradient, at the start": ratio, "the same after the epochs": at_end,
         "loss left (1 is blind)": course.level},
        "The penalty pulls the weights to 0 as hard as the data pull them anywhere. "
        "What is minimised is mostly the penalty, and the best that is left is to predict a constant.",
        Change("penalty", factor),
    )  # fmt: skip


# ---- too fast -----------------------------------------------------------------------------------------------------


def _too_fast(case: Case, course: Course) -> Iterator[Finding]:
    if case.batch_size <= TINY_BATCH and len(case.X) >= 2 * USUAL_BATCH:
        tried = _tried(case, [Change("batch_size", USUAL_BATCH)], EPOCHS)
        if _further(tried, course):
            yield _batch_too_small(case, course, tried)
            return
    wild = course.run.status == "diverged" or max(course.losses) > 10.0 * max(course.first, course.blind)
    for factor in (0.01, 1e-4) if wild else (0.1, 0.01):
        rate = _round(case.rate * factor)
        tried = _tried(case, [Change("rate", rate)], TRIAL_EPOCHS)
        if _further(tried, course):
            yield _rate_too_high(case, course, rate, tried)
            return
    if course.run.status == "diverged" or course.last > 1.5 * max(course.first, course.blind):
        yield _rate_too_high(case, course, _round(case.rate * 0.01), float("nan"))


def _rate_too_high(case: Case, course: Course, rate: float, tried: float) -> Finding:
    diverged = course.run.status == "diverged"
    where = course.run.reason.partition(". ")[0] if diverged else f"epochs 1 to {len(course.losses)}"
    dead = max((s.dead for s in course.end.layers[:-1]), default=0.0)
    evidence = {"rate": case.rate, "loss before training": course.first, "blind loss": course.blind}
    if not diverged:
        evidence |= {
            f"loss after {len(course.losses)} epochs": course.last,
            "highest loss of an epoch": max(course.losses),
        }
    evidence |= {f"loss after {TRIAL_EPOCHS} epochs with the rate {rate:g}": tried} if np.isfinite(tried) else {}
    evidence |= {"dead share of the worst layer": dead} if dead > 0.3 else {}
    what = "The loss leaves the finite numbers" if diverged else "The loss jumps instead of falling"
    return finding(
        case, "rate_too_high", where, "error" if diverged else "warning", evidence,
        f"{what}: each step overshoots the valley that it aims at. "
        "With a smaller rate the same steps go down, as was tried on a copy.",
        Change("rate", rate),
    )  # fmt: skip


def _batch_too_small(case: Case, course: Course, tried: float) -> Finding:
    return finding(
        case, "batch_too_small", f"batches of {case.batch_size}", "warning",
        {"batch size": case.batch_size, f"loss after {EPOCHS} epochs": course.last, "blind loss": course.blind,
         f"loss after {EPOCHS} epochs with batches of {USUAL_BATCH}": tried},
        "A gradient of so few rows is mostly noise, and at this rate each step undoes what the last one learned. "
        "Larger batches average the noise away; a smaller rate would, too, at the price of time.",
        Change("batch_size", USUAL_BATCH),
    )  # fmt: skip


# ---- too slow -----------------------------------------------------------------------------------------------------


def _too_slow(case: Case, course: Course) -> Iterator[Finding]:
    """Say what would go further; nothing where the run, going on at its pace, gets far enough."""
    if gets_there(case, course):
        return
    if case.steps <= 2 and case.batch_size > USUAL_BATCH:
        tried = _tried(case, [Change("batch_size", USUAL_BATCH)], EPOCHS)
        if _further(tried, course):
            yield _batch_too_large(case, course, tried)
            return
    fallen = max(course.first - course.last, 0.0)
    far = USUAL_RATE / case.rate if case.rate < USUAL_RATE / 1000 else 100.0
    factors = (1000.0, far) if fallen < 0.002 * course.blind else (10.0, 100.0)
    for factor in factors:
        rate = _round(case.rate * factor)
        tried = _tried(case, [Change("rate", rate)], TRIAL_EPOCHS)
        if course.first - tried > max(5.0 * fallen, 0.03 * course.blind) or _further(tried, course):
            yield _rate_too_low(case, course, rate, tried)
            return


def gets_there(case: Case, course: Course) -> bool:
    """Whether the loss, falling on at the pace of the last two epochs, is half the blind loss when the run ends.

    Where the run has ended, it is known.
    """
    if case.fitted is not None:
        return case.data_loss(case.fitted, case.fitted_state) < 0.5 * course.blind
    pace = course.losses[-2] - course.losses[-1] if len(course.losses) > 1 else 0.0
    return course.last - pace * max(case.epochs - EPOCHS, 0) < 0.5 * course.blind


def _cut_short(case: Case, course: Course) -> Finding | None:
    """Say where a run of a few epochs ends while its loss still falls."""
    end = min(case.epochs, len(course.losses))
    if case.epochs > FEW_EPOCHS or course.jumpy:
        return None
    before, last = (course.losses[end - 2] if end > 1 else course.first), course.losses[end - 1]
    return _too_few(case, course) if before - last > 0.03 * course.blind and last > 0.2 * course.blind else None


def _rate_too_low(case: Case, course: Course, rate: float, tried: float) -> Finding:
    return finding(
        case, "rate_too_low", f"epochs 1 to {len(course.losses)}", "warning",
        {"rate": case.rate, "loss before training": course.first,
         f"loss after {len(course.losses)} epochs": course.last,
         f"loss after {TRIAL_EPOCHS} epochs with the rate {rate:g}": tried},
        f"The loss falls so slowly that {case.epochs} epochs will not bring it down. "
        "A larger rate got further in fewer epochs, as was tried on a copy.",
        Change("rate", rate),
    )  # fmt: skip


def _batch_too_large(case: Case, course: Course, tried: float) -> Finding:
    return finding(
        case, "batch_too_large", f"batches of {case.batch_size} of {len(case.X)} rows", "warning",
        {"steps an epoch": case.steps, f"loss after {EPOCHS} epochs": course.last,
         f"loss after {EPOCHS} epochs with batches of {USUAL_BATCH}": tried},
        "Each epoch makes only one or two steps, so all epochs together make too few. "
        "Small batches take many more steps for the same work.",
        Change("batch_size", USUAL_BATCH),
    )  # fmt: skip


def _too_few(case: Case, course: Course) -> Finding:
    return finding(
        case, "too_few_epochs", f"{case.epochs} epochs", "warning",
        {"epochs": case.epochs, "loss in epoch 1": course.losses[0],
         f"loss in epoch {len(course.losses)}": course.losses[-1], "blind loss": course.blind},
        "The loss is still falling when the run ends. "
        "It needs more epochs (and stops by itself when they no longer help).",
        Change("epochs", 200),
    )  # fmt: skip


# ---- experiments --------------------------------------------------------------------------------------------------


def _tried(case: Case, changes: Sequence[Change], epochs: int) -> float:
    """Return the loss on some rows after so many epochs with the changes; infinity where it diverges."""
    other = apply(case, changes)
    run = replace(other, stops_early=False).run(epochs)
    return float("inf") if run.status == "diverged" else other.data_loss(run.theta, run.state, sampled(case))


def _further(tried: float, course: Course) -> bool:
    last = course.last if np.isfinite(course.last) else course.blind * 1.1
    return tried < min(last, 1.1 * course.blind) - FURTHER * course.blind


def _round(rate: float) -> float:
    return float(f"{rate:.2g}")
