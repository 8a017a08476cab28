"""How good a fitted pipeline is, and what its layers do: the numbers behind the printout and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn import metrics

from glassnet.arrays import Array
from glassnet.cli.records import Fitted
from glassnet.datasets import one_hot
from glassnet.history import Run
from glassnet.insight.html import number
from glassnet.insight.report import ClassRow, Report
from glassnet.insight.summary import LayerStatistics, layer_statistics
from glassnet.network import NO_STATE
from glassnet.objective import Objective

__all__ = ["Evaluation", "evaluation", "layer_numbers", "make_report"]

MATCHING_LOSS = {
    "softmax": "cross_entropy", "sigmoid": "binary_cross_entropy", "identity": "squared_error", "exp": "poisson",
}  # fmt: skip
ROWS_FOR_STATISTICS = 500
VALIDATION = {
    "held-out": "the held-out rows; they decide nothing",
    "set aside": "a tenth of the training rows, set aside to decide when to stop",
    "none": "none",
}
"""What the curves called "validation" were measured on."""
FACTS = ("training_rows", "measured_rows", "held_out", "status", "reason", "epochs", "seconds")
"""What `Evaluation.facts` holds."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on the measured rows; for one label a row also the confusion matrix and the numbers of each class."""

    headline: str
    numbers: dict[str, float]
    facts: dict[str, object]
    class_names: tuple[str, ...] = ()
    confusion: Array | None = None
    class_rows: tuple[ClassRow, ...] = field(default=())
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `metrics.json` holds."""
        numbers = {name: value if np.isfinite(value) else None for name, value in self.numbers.items()}
        classes = {row.name: {"precision": row.precision, "recall": row.recall, "f1": row.f1, "support": row.support}
                   for row in self.class_rows}  # fmt: skip
        matrix = {} if self.confusion is None else {"confusion": self.confusion}
        return {"headline": self.headline, **numbers, **self.facts, "notes": self.notes, "classes": classes, **matrix}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return what `to_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
        facts: dict[str, object] = {name: content[name] for name in FACTS}
        facts |= {"epochs": int(content["epochs"]), "seconds": float(content["seconds"])}
        given = {name: value for name, value in content.items() if name not in facts}
        numbers = {name: value for name, value in given.items() if isinstance(value, float)}
        rows = tuple(ClassRow(name, **row) for name, row in dict(content["classes"]).items())
        confusion = np.array(content["confusion"], dtype=np.int64) if "confusion" in content else None
        if confusion is not None and confusion.shape != (len(rows), len(rows)):
            raise ValueError(f"a confusion matrix {confusion.shape} for {len(rows)} classes")
        notes = tuple(str(note) for note in content.get("notes", ()))
        return cls(str(content["headline"]), numbers, facts, tuple(row.name for row in rows), confusion, rows, notes)


def evaluation(fitted: Fitted) -> Evaluation:
    """Measure the pipeline on the held-out rows (on the training rows where there are too few)."""
    estimator = fitted.estimator
    facts: dict[str, object] = {
        "training_rows": fitted.n_train,
        "measured_rows": len(fitted.y),
        "held_out": fitted.is_held_out,
        "status": estimator.status_,
        "reason": estimator.stop_reason_,
        "epochs": estimator.n_iter_,
        "seconds": round(fitted.seconds, 3),
    }
    if fitted.source.kind == "regression":
        return _regression(fitted, facts)
    return _codes(fitted, facts) if fitted.y.ndim == 2 else _classification(fitted, facts)


def _rows(fitted: Fitted) -> str:
    return f"{len(fitted.y)} {'held-out' if fitted.is_held_out else 'training'} {fitted.source.rows_are}"


def _classification(fitted: Fitted, facts: dict[str, object]) -> Evaluation:
    names = np.unique(np.concatenate([fitted.estimator.classes_, fitted.y]))
    accuracy = float(metrics.accuracy_score(fitted.y, fitted.predicted))
    columns = metrics.precision_recall_fscore_support(fitted.y, fitted.predicted, labels=names, zero_division=0.0)
    rows = tuple(
        ClassRow(str(n), float(p), float(r), float(f), int(s)) for n, p, r, f, s in zip(names, *columns, strict=True)
    )
    verb = "read" if fitted.source.image_shape else "classified"
    commonest = max(rows, key=lambda row: row.support)
    baseline = commonest.support / len(fitted.y)
    numbers = {
        "accuracy": accuracy,
        "macro_f1": float(np.mean([row.f1 for row in rows if row.support])),
        "baseline_accuracy": baseline,
    }
    name = commonest.name if len(commonest.name) <= 24 else f"{commonest.name[:23]}…"
    always = f"always saying {name!r} would be right in {baseline:.1%}"
    notes = () if accuracy > baseline else (f"the network is no better than a guess: {always}.",)
    return Evaluation(
        f"{accuracy:.1%} of {_rows(fitted)} {verb} correctly.", numbers, facts, tuple(map(str, names)),
        metrics.confusion_matrix(fitted.y, fitted.predicted, labels=names), rows, notes,
    )  # fmt: skip


def _codes(fitted: Fitted, facts: dict[str, object]) -> Evaluation:
    whole = float((fitted.y == fitted.predicted).all(axis=1).mean())
    bits = float((fitted.y == fitted.predicted).mean())
    headline = f"{whole:.1%} of {_rows(fitted)} reproduced in every output."
    return Evaluation(headline, {"rows_right": whole, "outputs_right": bits}, facts)


def _regression(fitted: Fitted, facts: dict[str, object]) -> Evaluation:
    y, predicted = fitted.y, fitted.predicted
    r2 = float(metrics.r2_score(y, predicted))
    mae = float(metrics.mean_absolute_error(y, predicted))
    numbers = {"r2": r2, "rmse": float(metrics.root_mean_squared_error(y, predicted)), "mae": mae}
    headline = f"R² {r2:.3f} on {_rows(fitted)}: predictions are {number(mae)} off on average."
    notes = () if r2 > 0 else ("the network is no better than always saying the mean of the target.",)
    return Evaluation(headline, numbers, facts, notes=notes)


def layer_numbers(fitted: Fitted) -> tuple[LayerStatistics, ...]:
    """Measure every layer on some of the measured rows, with the loss that belongs to the output."""
    estimator = fitted.estimator
    X = np.asarray(fitted.pipeline[:-1].transform(fitted.X.head(ROWS_FOR_STATISTICS)), dtype=np.float64)
    y = fitted.y[:ROWS_FOR_STATISTICS]
    objective = Objective(estimator.network_, MATCHING_LOSS[estimator.network_.output_activation])
    return layer_statistics(objective, estimator.theta_.astype(np.float64), X, _targets(fitted, y))


def _targets(fitted: Fitted, y: Array) -> Array:
    """Return the rows that the network is trained towards."""
    if fitted.source.kind == "regression":
        return np.asarray(fitted.pipeline[-1].transformer_.transform(y.reshape(len(y), -1)))
    if y.ndim == 2:
        return y
    known = fitted.estimator.classes_
    numbers = np.minimum(np.searchsorted(known, y), len(known) - 1)
    return numbers[:, None].astype(float) if len(known) == 2 else one_hot(numbers, len(known))


def make_report(
    fitted: Fitted,
    measured: Evaluation,
    statistics: tuple[LayerStatistics, ...],
    command: str,
    versions: dict[str, str],
) -> Report:
    """Gather what the page shows."""
    estimator, source = fitted.estimator, fitted.source
    run = Run(estimator.theta_, NO_STATE, estimator.history_, estimator.status_, estimator.stop_reason_, fitted.seconds)
    is_regression = source.kind == "regression"
    return Report(
        title=source.description,
        headline=measured.headline,
        dataset=source.name,
        net=estimator.network_,
        theta=estimator.theta_.astype(np.float64),
        run=run,
        facts={
            "rows": fitted.n_train + len(fitted.y) * fitted.is_held_out,
            "columns": source.X.shape[1],
            "inputs of the network": estimator.network_.n_inputs,
            "training rows": fitted.n_train,
            "held-out rows": len(fitted.y) if fitted.is_held_out else "none: too few rows",
            "validation rows": VALIDATION[fitted.validation],
            "task": source.why,
        },
        metrics={name.replace("_", " "): value for name, value in measured.numbers.items()},
        config={
            **{name: value for name, value in vars(fitted.config).items() if value is not None},
            "l2": fitted.config.used_l2(source.kind),
        },
        command=command,
        versions=versions,
        notes=(*fitted.notes, *measured.notes),
        class_names=measured.class_names,
        confusion=measured.confusion,
        class_rows=measured.class_rows,
        y_true=fitted.y if is_regression else None,
        y_pred=fitted.predicted if is_regression else None,
        target_names=(source.target,) if is_regression and fitted.y.ndim == 1 else (),
        image_shape=source.image_shape,
        statistics=statistics,
    )
