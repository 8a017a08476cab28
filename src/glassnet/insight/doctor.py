"""Why does my network not learn? Looks at data, start and a few epochs on a copy, and names the cause.

    gn.diagnose(estimator, X, y)

The order of the looks is the order of causes: targets and inputs, output and loss, the start of the weights, penalty,
rate and batch, and at last what a finished run has left. The first finding that is worse than a note is the cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.engines.threads import single_threaded_blas
from glassnet.errors import type_fault
from glassnet.estimators.consulting import case_of_estimator
from glassnet.history import Run
from glassnet.insight.admission import Refused, case_of_training, check_given
from glassnet.insight.aftermath import aftermath_findings
from glassnet.insight.course import EPOCHS, Course, course_findings, follow, gets_there, sampled
from glassnet.insight.data_signs import data_findings, finding
from glassnet.insight.findings import Diagnosis, Finding, Trial
from glassnet.insight.pairing import pairing_findings
from glassnet.insight.patient import Case, blind_loss, data_losses
from glassnet.insight.remedies import Change, apply
from glassnet.insight.vital_signs import STUCK, look, start_findings
from glassnet.layers import Dense

__all__ = ["diagnose", "examine"]

LONGEST = 40
"""Remedies are tried for at most so many epochs."""
ROUNDS = 8
"""All remedies together are found by treating the first cause and looking again, at most so often."""


def diagnose(
    estimator_or_run: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    arguments: Mapping[str, Any] | None = None,
    validation: Sequence[npt.ArrayLike] | None = None,
    try_remedies: bool = False,
) -> Diagnosis:
    """Say why a network does not learn X (m, d), y (m,) or (m, k): findings with evidence and remedy, the cause first.

    estimator_or_run  an estimator of glassnet, fitted or not, alone or at the end of a pipeline (in a
                      TransformedTargetRegressor, too); scikit-learn's own MLP, by its settings; the arguments of
                      `train` as a mapping, {"objective": ..., "theta": ..., "optimizer": ...}; or a `Run`
    arguments         with a `Run`: the arguments of `train` that it came from, "objective" at least
    validation        (X, y) of held-out rows, to see whether a fitted model has learned its rows by heart
    try_remedies      train copies with each remedy, and with all together, for up to 40 epochs on four fifths of the
                      rows; both curves are shown (`trials`), and `treated` is the case with all remedies

    Nothing that is passed in is changed. Five epochs are run on a copy from the run's own start (seed 0 where it has
    none), and a few shorter ones where they hardly lower the loss: in all at most three times the time of five epochs
    on data that are not tiny. Missing values and labels of the wrong shape are findings, for no run can begin.

    Raises GlassnetError where X or y is missing, empty, or does not belong to the run.

    >>> from glassnet import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((20,), solver="sgd", learning_rate_init=100.0, random_state=0)
    >>> diagnosis = diagnose(model, X, y)
    >>> diagnosis.findings[0].code, dict(diagnosis.findings[0].remedy.params)
    ('rate_too_high', {'learning_rate_init': 1.0})
    """
    X_raw, y_raw = check_given(X, y)
    name = type(estimator_or_run).__name__
    try:
        if hasattr(estimator_or_run, "get_params"):
            case = case_of_estimator(estimator_or_run, X_raw, y_raw, validation)
        elif isinstance(estimator_or_run, Run):
            case = case_of_training(estimator_or_run, arguments, X_raw, y_raw, validation)
        elif isinstance(estimator_or_run, Mapping):
            name, case = "train", case_of_training(None, estimator_or_run, X_raw, y_raw, validation)
        else:
            remedy = 'For example diagnose({"objective": objective, "theta": theta, "optimizer": SGD(0.1)}, X, Y).'
            expected = "an estimator, a Run, or the arguments of train with an objective"
            raise type_fault("estimator_or_run", expected, name, remedy)
    except Refused as refused:
        return Diagnosis(name, refused.findings)
    findings, losses, blind = examine(case)
    if not try_remedies:
        return Diagnosis(name, findings, losses, blind)
    trials, treated = _try_all(case, findings)
    return Diagnosis(name, findings, losses, blind, trials, treated)


def examine(case: Case) -> tuple[tuple[Finding, ...], tuple[float, ...], float]:
    """Return the findings on a case, causes first and notes last; its losses in the epochs run; and its blind loss."""
    losses: list[float] = []
    blind = blind_loss(case)
    found = list(_looks(case, blind, losses))
    ordered = [one for one in found if one.severity != "note"] + [one for one in found if one.severity == "note"]
    return tuple(ordered), tuple(losses), blind


def _looks(case: Case, blind: float, losses: list[float]) -> Iterator[Finding]:
    """Go through all looks in the order of causes; what cannot be trained is not trained."""
    with single_threaded_blas():  # small products: more threads cost more than they give
        data = list(data_findings(case))
    yield from data
    if any(one.code == "labels_constant" for one in data):
        return
    yield from pairing_findings(case)
    state = case.state
    with single_threaded_blas():
        start = look(case, case.theta, state)
        first = case.data_loss(case.theta, state, sampled(case))
    before = list(start_findings(case, start, first, blind))
    yield from before
    course = follow(case, first, blind)
    losses += course.losses
    blank = any(one.code == "no_signal" for one in data)
    ill_start = any(one.code in STUCK for one in before)
    during = list(course_findings(case, course, start, stuck=ill_start or blank))
    yield from during
    after = [] if during else list(aftermath_findings(case, blind))
    yield from (one for one in after if not (ill_start and one.code == "underfitting"))  # it could not learn
    if all(one.severity == "note" for one in (*data, *before, *during, *after)):
        yield from _unexplained(case, course)


def _unexplained(case: Case, course: Course) -> Iterator[Finding]:
    """Say that the loss has not fallen although nothing was found."""
    if course.level < 0.97 or case.rule is None or gets_there(case, course):
        return
    straight = not any(isinstance(layer, Dense) for layer in case.net.layers[:-1])
    yield finding(
        case, "not_learning", f"epochs 1 to {len(course.losses)}", "warning" if case.epochs <= 50 else "note",
        {"loss before training": course.first, f"loss after {EPOCHS} epochs": course.last, "blind loss": course.blind},
        "The loss has not fallen below that of a constant prediction, and no cause was found. "
        + (
            "Without a hidden layer only straight lines can be drawn between the rows: give it one."
            if straight
            else "It may be a slow start: other starts and another activation are worth a try."
        ),
        Change("hidden", 100) if straight else Change("weight_init", "he_normal"),
    )  # fmt: skip


# ---- trying remedies ----------------------------------------------------------------------------------------------


def _try_all(case: Case, findings: tuple[Finding, ...]) -> tuple[tuple[Trial, ...], Case]:
    """Return a trial of each remedy of a cause and one of all together, and the case with all of them."""
    tried = [one for one in findings if one.severity != "note" and _can_be_tried(one)]
    if not tried:
        return (), case
    small, held_out = _split(case)
    before = small.run(min(case.epochs, LONGEST))
    trials = [_trial(small, before, held_out, one.remedy.changes, one.code) for one in tried]
    changes = _treatment(case)
    alone = [change for change in tried[0].remedy.changes if change.what != "data"]
    if len(tried) > 1 or len(changes) > len(alone):  # the treatment begins with the remedy of the first cause
        trials.append(_trial(small, before, held_out, changes, ""))
    return tuple(trials), apply(case, changes)


def _can_be_tried(one: Finding) -> bool:
    return any(change.what != "data" for change in one.remedy.changes)


def _treatment(case: Case) -> list[Change]:
    """Treat the first cause and look again, until nothing is left that can be treated."""
    changes: list[Change] = []
    for _ in range(ROUNDS):
        ill = [one for one in examine(case)[0] if one.severity != "note" and _can_be_tried(one)]
        new = [change for one in ill[:1] for change in one.remedy.changes if change.what != "data"]
        if not new or all(any(change.is_like(one) for one in changes) for change in new):  # of no use a second time
            break
        case = replace(apply(case, new), history=None, fitted=None)
        changes += new
    return changes


def _split(case: Case) -> tuple[Case, tuple[Array, Array]]:
    """Return the case with four fifths of its rows, and the others."""
    order = np.random.default_rng(0).permutation(len(case.X))
    test, train = np.split(order, [max(len(order) // 5, 1)])
    weights = None if case.weights is None else case.weights[train]
    small = replace(case, X=case.X[train], Y=case.Y[train], weights=weights)
    held_out = case.X[test], case.Y[test]
    return replace(small, batch_size=min(case.batch_size, len(train)), held_out=held_out), held_out


def _trial(small: Case, before: Run, held_out: tuple[Array, Array], changes: Sequence[Change], code: str) -> Trial:
    treated = apply(small, changes)
    longer = any(change.what == "epochs" for change in changes)
    after = treated.run(treated.epochs if longer else min(treated.epochs, LONGEST))
    assert treated.held_out is not None
    return Trial(
        remedy=", ".join(change.what for change in changes),
        before=_curve(before),
        after=_curve(after),
        score_before=small.score(before.theta, before.state, held_out),
        score_after=treated.score(after.theta, after.state, treated.held_out),
        score="accuracy" if small.is_classes else "R2",
        code=code,
        comparable=not any(change.what in ("output", "scale_targets") for change in changes),
    )


def _curve(run: Run) -> tuple[float, ...]:
    losses = data_losses(run.history).tolist()
    return (*losses, float("inf")) if run.status == "diverged" else tuple(losses)
