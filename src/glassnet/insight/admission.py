"""Admission: what is given to the doctor becomes a case; input that no run could begin with becomes findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet import optimizers
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, fault, type_fault
from glassnet.history import Run
from glassnet.insight.findings import Finding, Remedy
from glassnet.insight.patient import Case, epochs_of
from glassnet.insight.remedies import with_rate
from glassnet.objective import Objective

__all__ = ["Refused", "case_of_training", "check_given", "check_numbers"]


class Refused(Exception):
    """No run could begin with these data; the findings say why."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(*(one.code for one in findings))
        self.findings = findings


def check_given(X: Any, y: Any) -> tuple[Any, Any]:
    """Return X and y where both are there with equally many rows; raises GlassnetError where not."""
    for name, value, shape in (("X", X, "(m, d)"), ("y", y, "(m,) or (m, k)")):
        if value is None:
            raise type_fault(name, f"{shape}, the data of the run", "None", f"diagnose(model, X, y) needs {name}.")
        if np.ndim(value) == 0 and not hasattr(value, "shape"):
            raise type_fault(name, shape, type(value).__name__)
    m, n = (value.shape[0] if hasattr(value, "shape") and value.shape else len(value) for value in (X, y))
    if m == 0:
        raise fault("X", "(m, d) with at least one row", "no row")
    if m != n:
        raise GlassnetError(f"X and y must have equally many rows, received {m} and {n}.")
    return X, y


def check_numbers(X: npt.ArrayLike, names: Sequence[str] = ()) -> Array:
    """Return X (m, d) as numbers; raises GlassnetError for another shape, and Refused for missing values."""
    try:
        rows = np.asarray(X.toarray() if hasattr(X, "toarray") else X)
        rows = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        remedy = "Text or categories? Put a pipeline that turns them into numbers before the network."
        raise type_fault("X", "numbers (m, d)", f"{error}", remedy) from error
    if rows.ndim != 2:
        raise fault("X", "(m, d)", rows.shape, "One column? X[:, None]." if rows.ndim == 1 else "")
    bad = ~np.isfinite(rows)
    if bad.any():
        columns = np.flatnonzero(bad.any(axis=0))
        listed = ", ".join(str(names[j]) if len(names) else str(j) for j in columns[:5])
        python = "X = SimpleImputer().fit_transform(X)  # or drop the rows: X[np.isfinite(X).all(axis=1)]"
        raise Refused(
            Finding(
                "inputs_missing", f"column{'s' * (len(columns) > 1)} {listed}", "error",
                {"values that are NaN or infinite": float(bad.sum()), "rows with one": float(bad.any(axis=1).sum()),
                 "columns": float(len(columns))},
                "Some inputs are NaN or infinite; one of them makes every number that follows NaN. "
                "Fill them in or leave their rows out, and look where they come from.",
                Remedy({}, python),
            )
        )  # fmt: skip
    return rows


def check_targets(y: npt.ArrayLike) -> Array:
    """Return targets as an array; raises Refused where some are missing."""
    targets = np.asarray(y)
    bad = np.zeros(targets.shape, bool)
    if targets.dtype.kind == "f":
        bad = ~np.isfinite(targets)
    elif targets.dtype.kind == "O":  # text with gaps, as a table has it
        bad = np.frompyfunc(lambda value: value is None or value != value, 1, 1)(targets).astype(bool)
    if bad.any():
        raise Refused(
            Finding(
                "labels_missing", "y", "error", {"targets that are NaN or infinite": float(bad.sum())},
                "Some targets are NaN or infinite, and so is every loss that sees one. "
                "Leave their rows out: a target must not be guessed.",
                Remedy({}, "known = ~pd.isna(y); X, y = X[known], y[known]  # pd.isna takes numbers and text"),
            )
        )  # fmt: skip
    return targets


def case_of_training(
    run: Run | None,
    arguments: Mapping[str, Any] | None,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    validation: Sequence[npt.ArrayLike] | None,
) -> Case:
    """Return the case of `train(**arguments)`, or of a run that came from it."""
    given = dict(arguments or {})
    objective = given.get("objective")
    if not isinstance(objective, Objective):
        remedy = 'diagnose(run, X, Y, arguments={"objective": objective, "theta": theta, "optimizer": rule})'
        raise type_fault('"objective" of the arguments', "the Objective of the run", repr(objective), remedy)
    rows = check_numbers(X)
    if rows.shape[1] != objective.net.n_inputs:
        raise fault("X", f"(m, {objective.net.n_inputs}) for the network of the run", rows.shape)
    targets = _targets(objective, check_targets(y))
    rule = optimizers.get(given.get("optimizer", "adam"))
    batch_size, epochs = int(given.get("batch_size", 32)), int(given.get("epochs", 100))
    if run is not None and len(run.history):
        rule, batch_size, epochs = _as_it_was(run, given, rule, batch_size, len(rows))
    theta = np.asarray(given.get("theta", objective.net.init(rng=0)))
    objective.net.check_theta(theta)
    rows, targets, weights = objective.check(rows, targets, given.get("sample_weight"), stacks=False)
    held_out = given.get("validation") if validation is None else validation
    if held_out is not None:
        held_out = objective.check(held_out[0], _targets(objective, np.asarray(held_out[1])), stacks=False)[:2]
    return Case(
        objective, theta, rows, targets.astype(theta.dtype), rule, min(batch_size, len(rows)), epochs, weights,
        given.get("state"), drop_last=bool(given.get("drop_last", False)) and batch_size <= len(rows),
        fitted=None if run is None else run.theta, fitted_state=None if run is None else run.state,
        history=None if run is None else epochs_of(run.history), status="" if run is None else run.status,
        held_out=held_out,
    )  # fmt: skip


def _as_it_was(
    run: Run, given: Mapping[str, Any], rule: optimizers.Rule, batch_size: int, m: int
) -> tuple[optimizers.Rule, int, int]:
    """Return rule, batch size and epochs as the run's history tells them, where they were not given."""
    history = run.history
    if "optimizer" not in given:
        name = "" if run.rule_state is None else run.rule_state.rule
        known = {kind.__name__: kind for kind in optimizers.RULES.values()}
        made = known[name]() if name in known else rule
        rule = with_rate(made, float(history["learning_rate"][0]))
    if "batch_size" not in given and len(history) > 1:
        batch_size = -(-m // max(int(history["updates"][1] - history["updates"][0]), 1))
    return rule, batch_size, int(given.get("epochs", len(history)))


def _targets(objective: Objective, y: Array) -> Array:
    """Return targets (m, k); class numbers under several outputs are a finding, for `train` refuses them."""
    k = objective.net.n_outputs
    if y.ndim == 1 and k == 1:
        return y[:, None]
    if y.ndim == 1:
        python = f"Y = gn.one_hot(y, {k})"
        raise Refused(
            Finding(
                "labels_shape", "y", "error", {"axes of y": 1, "outputs": float(k)},
                f"y is a list of class numbers, and the network has {k} outputs: the loss compares output by output. "
                "Turn each class number into a row with a single 1.",
                Remedy({}, python),
            )
        )  # fmt: skip
    if y.ndim != 2 or y.shape[1] != k:
        raise fault("y", f"(m, {k}) for the network of the run", y.shape)
    return y
