"""Displays in scikit-learn's manner: computed once by `from_estimator`, drawn by `plot`, kept in `ax_` and `figure_`.

display = LearningCurvesDisplay.from_estimator(model)
display.figure_.savefig("curves.png")
display.plot(ax=another)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.errors import GlassnetError, fault
from glassnet.history import History
from glassnet.insight.network_plots import network_diagram, weight_images
from glassnet.insight.result_plots import confusion_matrix
from glassnet.insight.style import Axes, Figure, figure_of
from glassnet.insight.surface_plots import decision_surface
from glassnet.insight.training_plots import learning_curves
from glassnet.network import Network

__all__ = [
    "ConfusionMatrixDisplay",
    "DecisionSurfaceDisplay",
    "LearningCurvesDisplay",
    "NetworkDisplay",
    "WeightImagesDisplay",
]


@dataclass(eq=False)
class Display(ABC):
    """What all displays have; `ax_` and `figure_` are those of the last `plot`."""

    ax_: Axes = field(init=False, repr=False)
    figure_: Figure = field(init=False, repr=False)

    @abstractmethod
    def draw(self, ax: Axes | None) -> Axes:
        """Draw into these axes, or new ones."""

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw, and remember where."""
        self.ax_ = self.draw(ax)
        self.figure_ = figure_of(self.ax_)
        return self


def _fitted(estimator: Any, name: str) -> Any:
    """Return a fitted attribute of one of our estimators, or of the last step of a pipeline that ends with one."""
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    last = getattr(last, "regressor_", last)
    if not hasattr(last, name):
        what = f"{type(last).__name__} without {name}"
        raise fault("estimator", "a fitted estimator of glassnet", what, "Call fit first.")
    return getattr(last, name)


@dataclass(eq=False)
class LearningCurvesDisplay(Display):
    """Loss by epoch on training and validation rows.

    >>> from glassnet import MLPRegressor
    >>> model = MLPRegressor(hidden_layer_sizes=4, max_iter=5, tol=0, random_state=0, n_iter_no_change=100)
    >>> import warnings; from sklearn.exceptions import ConvergenceWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ConvergenceWarning)
    ...     model = model.fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 4.0])
    >>> LearningCurvesDisplay.from_estimator(model).ax_.get_xlabel()
    'epoch'
    """

    history: History

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Draw the `history_` of a fitted estimator."""
        return cls(_fitted(estimator, "history_")).plot(ax)

    def draw(self, ax: Axes | None) -> Axes:
        """Draw into these axes, or new ones."""
        return learning_curves(self.history, ax)


@dataclass(eq=False)
class NetworkDisplay(Display):
    """The network with its weights as lines."""

    network: Network
    theta: Array
    max_units: int = 10

    @classmethod
    def from_estimator(cls, estimator: Any, *, max_units: int = 10, ax: Axes | None = None) -> Self:
        """Draw `network_` and `theta_` of a fitted estimator."""
        return cls(_fitted(estimator, "network_"), _fitted(estimator, "theta_"), max_units).plot(ax)

    def draw(self, ax: Axes | None) -> Axes:
        """Draw into these axes, or new ones."""
        return network_diagram(self.network, self.theta, ax, self.max_units)


@dataclass(eq=False)
class WeightImagesDisplay(Display):
    """The weights into the first units, as pictures."""

    W: Array
    image_shape: tuple[int, int]
    count: int = 25

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, image_shape: tuple[int, int] | None = None, count: int = 25, ax: Axes | None = None
    ) -> Self:
        """Draw the first layer of a fitted estimator; None: square pictures. Raises GlassnetError where none fit."""
        W = _fitted(estimator, "coefs_")[0]
        if image_shape is None:
            side = round(len(W) ** 0.5)
            if side * side != len(W):
                raise fault("image_shape", f"(height, width) of {len(W)} pixels", "None", "They make no square.")
            image_shape = (side, side)
        return cls(W, image_shape, count).plot(ax)

    def draw(self, ax: Axes | None) -> Axes:
        """Draw into these axes, or new ones."""
        return weight_images(self.W, self.image_shape, self.count, ax)


@dataclass(eq=False)
class DecisionSurfaceDisplay(Display):
    """What an estimator answers over its two inputs."""

    estimator: Any
    X: Array
    y: Array

    @classmethod
    def from_estimator(cls, estimator: Any, X: npt.ArrayLike, y: npt.ArrayLike, *, ax: Axes | None = None) -> Self:
        """Draw the answers of any fitted classifier or regressor around the rows X (m, 2)."""
        return cls(estimator, np.asarray(X), np.asarray(y)).plot(ax)

    def draw(self, ax: Axes | None) -> Axes:
        """Draw into these axes, or new ones."""
        return decision_surface(self.estimator, self.X, self.y, ax)


@dataclass(eq=False)
class ConfusionMatrixDisplay(Display):
    """How often each class was taken for which other."""

    matrix: Array
    labels: tuple[str, ...]

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: npt.ArrayLike, *, ax: Axes | None = None) -> Self:
        """Count the answers of a fitted classifier on X and y (m,).

        Raises GlassnetError for classes it does not know.
        """
        classes = list(getattr(estimator, "classes_", []))
        if not classes:
            raise fault("estimator", "a fitted classifier", type(estimator).__name__)
        numbers = {name: number for number, name in enumerate(classes)}
        unknown = sorted({str(name) for name in np.asarray(y) if name not in numbers})
        if unknown:
            raise GlassnetError(f"y must hold classes that the estimator knows, received {', '.join(unknown[:5])}.")
        counts = np.zeros((len(classes), len(classes)), dtype=int)
        pairs = zip(np.asarray(y), estimator.predict(X), strict=True)
        for true, predicted in pairs:
            counts[numbers[true], numbers[predicted]] += 1
        return cls(counts, tuple(map(str, classes))).plot(ax)

    def draw(self, ax: Axes | None) -> Axes:
        """Draw into these axes, or new ones."""
        return confusion_matrix(self.matrix, self.labels, ax)
