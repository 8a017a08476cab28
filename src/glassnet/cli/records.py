"""What `glassnet fit` is asked for, and what it ends with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from glassnet import optimizers
from glassnet.arrays import Array, check_count
from glassnet.callbacks import Progress
from glassnet.cli.sources import Source
from glassnet.engines import get_engine
from glassnet.errors import GlassnetError, choose, fault
from glassnet.estimators import MLPClassifier, MLPRegressor
from glassnet.estimators.options import SOLVERS, check_options
from glassnet.optimizers import SGD, Rule
from glassnet.schedules import Cosine
from glassnet.solvers import METHODS

__all__ = ["FEWEST_ROWS", "FEWEST_TO_STOP", "MOST_PARAMETERS", "USUAL_L2", "FitConfig", "Fitted", "too_large"]

FEWEST_ROWS = 20
"""Below this many rows none are held out: the result is measured on the training rows, and this is said."""
FEWEST_TO_STOP = 5000
"""From this many training rows on, a tenth is set aside to decide when to stop; on fewer the score would be noise."""

USUAL_L2 = {"classification": 1e-3, "codes": 1e-3, "regression": 1e-2}
"""The penalty where none is asked for: numbers are noisier than classes."""


MOST_PARAMETERS = 100_000_000
"""A rule such as adam takes four numbers for each: larger networks would fill the memory of a usual computer."""


def too_large(received: object) -> GlassnetError:
    """Return the error for a network with more parameters than MOST_PARAMETERS."""
    return fault("--hidden", f"a network of at most {MOST_PARAMETERS:,} parameters", received, "Take fewer units.")


@dataclass(frozen=True)
class FitConfig:
    """Every argument of `glassnet fit`; raises GlassnetError for values that cannot be right."""

    source: str
    target: str | None = None
    task: str | None = None
    hidden: tuple[int, ...] = (100,)
    activation: str = "relu"
    solver: str = "adam"
    learning_rate: float = 0.01
    epochs: int = 100
    batch_size: int = 32
    l2: float | None = None
    test_size: float = 0.2
    seed: int = 0
    out: str | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.test_size < 1:
            raise fault("--test-size", "between 0 and 1", self.test_size, "For example 0.2.")
        if self.epochs < 1:
            raise fault("--epochs", "at least 1", self.epochs)
        if not 0 <= self.seed < 2**32:
            raise fault("--seed", "from 0 to 4294967295", self.seed)
        if self.l2 is not None and not 0 <= self.l2 < np.inf:
            raise fault("--l2", "at least 0", self.l2)
        if not 0 < self.learning_rate < np.inf:
            raise fault("--learning-rate", "positive", self.learning_rate)
        get_engine(self.engine)
        check_options(self.estimator("classification", n_rows=1))

    @staticmethod
    def parse_hidden(text: str) -> tuple[int, ...]:
        """Return (50, 50) for "50,50" and () for "0"; raises GlassnetError for anything else."""
        try:
            sizes = tuple(int(part) for part in text.split(","))
        except ValueError:
            raise fault("--hidden", "whole numbers with commas", repr(text), "For example 50,50.") from None
        if sizes == (0,):
            return ()
        if sum(a * b for a, b in pairwise((1, *sizes, 1))) > MOST_PARAMETERS:
            raise too_large(repr(text))
        if min(sizes) < 1:
            raise fault(
                "--hidden", "units of at least 1", repr(text), "For example 50,50; 0 alone for no hidden layer."
            )
        return sizes

    def check_same(self, given: Collection[str], before: FitConfig) -> None:
        """Raise GlassnetError where one of the given arguments is not that of the run that is resumed."""
        for name in given:
            if (value := getattr(self, name)) != (stored := getattr(before, name)):
                option = "NAME|FILE" if name == "source" else f"--{name.replace('_', '-')}"
                raise fault(f"{option} of a resumed run", repr(stored), repr(value), "Leave it out, or start anew.")

    def used_l2(self, kind: str) -> float:
        """Return the penalty: the one asked for, or the usual one for this kind of target."""
        return USUAL_L2[kind] if self.l2 is None else self.l2

    def rule(self, n_rows: int) -> Rule:
        """Return the rule, with a rate that falls along a cosine to 0 in the last step; sgd has Nesterov momentum."""
        rate = Cosine(self.learning_rate, self.epochs * -(-n_rows // self.batch_size))
        return SGD(rate, momentum=0.9, nesterov=True) if self.solver == "sgd" else optimizers.get(self.solver, rate)

    def estimator(self, kind: str, n_rows: int, sets_aside: bool = False) -> MLPClassifier | MLPRegressor:
        """Return the estimator that these arguments ask for; with `sets_aside` a tenth of the rows decides the end."""
        choose("solver", self.solver, SOLVERS)
        check_count("--batch-size", self.batch_size)
        rule = self.solver not in METHODS
        stops_early = rule and sets_aside
        options: dict[str, Any] = {
            "hidden_layer_sizes": self.hidden,
            "activation": self.activation,
            "solver": self.rule(n_rows) if rule else self.solver,
            "alpha": self.used_l2(kind) * n_rows if self.l2 is not None or self.solver != "br" else 0.0001,
            "batch_size": min(self.batch_size, n_rows) if n_rows > 1 else self.batch_size,
            "max_iter": self.epochs,
            "early_stopping": stops_early,
            "n_iter_no_change": 20 if stops_early else np.inf,
            "tol": 1e-4 if rule else 1e-5,
            "random_state": self.seed,
            "callbacks": [Progress(show=("validation_r2" if kind == "regression" else "validation_accuracy",))],
            "engine": self.engine,
        }
        return MLPRegressor(**options) if kind == "regression" else MLPClassifier(**options)


@dataclass(frozen=True)
class Fitted:
    """A trained pipeline, the rows it is measured on, and what it says of them."""

    source: Source
    config: FitConfig
    pipeline: Pipeline
    X: pd.DataFrame
    y: Array
    predicted: Array
    n_train: int
    is_held_out: bool
    seconds: float
    notes: tuple[str, ...]

    @property
    def estimator(self) -> MLPClassifier | MLPRegressor:
        """The network's estimator, without the scaling around it."""
        last = self.pipeline[-1]
        estimator: MLPClassifier | MLPRegressor = getattr(last, "regressor_", last)
        return estimator

    @property
    def validation(self) -> str:
        """Which rows the validation curves were measured on: "held-out", "set aside" or "none"."""
        if "validation_loss" not in self.estimator.history_.columns:
            return "none"
        return "set aside" if self.estimator.early_stopping else "held-out"

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the training."""
        return str(self.estimator.stop_reason_).startswith("interrupted")
