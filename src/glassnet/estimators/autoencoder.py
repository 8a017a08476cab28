"""`Autoencoder`: a network that learns to give back what it is given, through a narrow layer, the code."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_array, check_is_fitted, validate_data

from glassnet import losses
from glassnet.arrays import Array, check_weights
from glassnet.engines import get_engine
from glassnet.errors import fault
from glassnet.estimators import architecture
from glassnet.estimators.base import MLP, Classes, has_partial_fit, store
from glassnet.layers import Dense
from glassnet.network import PREDICT, Network
from glassnet.rules import Rule

__all__ = ["Autoencoder"]


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, MLP):
    """A network that learns X -> X through a narrow layer: `transform` gives that layer, the code.

    `hidden_layer_sizes` lists all hidden layers, for example (64, 2, 64); the code is the narrowest one, or the layer
    that `code_layer` counts (1 is the first). `loss`, by default half the squared error, is averaged over the columns;
    `scoring` None is `score`, minus the mean squared error. All other arguments and the attributes are those of
    `MLPRegressor`. Source: Rumelhart, Hinton and Williams (1986), whose encoder problem is the example.

    >>> X = np.eye(8)                                              # eight patterns through three units
    >>> model = Autoencoder((3,), "logistic", loss="binary_cross_entropy", learning_rate_init=0.05, alpha=0.0)
    >>> model = model.set_params(max_iter=3000, n_iter_no_change=50, random_state=0).fit(X)
    >>> code = model.transform(X)
    >>> code.shape, bool((model.inverse_transform(code).argmax(axis=1) == np.arange(8)).all())
    ((8, 3), True)
    """

    _metric = "score"

    def __init__(
        self,
        hidden_layer_sizes: Any = (10,),
        activation: Any = "relu",
        *,
        loss: Any = "squared_error",
        code_layer: int | None = None,
        solver: str | Rule = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        engine: str = "auto",
        output_activation: Any = None,
        dropout: Any = 0.0,
        batch_norm: Any = False,
        layer_norm: Any = False,
        weight_init: Any = "auto",
        l1: float = 0.0,
        scoring: Any = None,
        dtype: Any = None,
        n_threads: int | None = None,
        time_budget: float | None = None,
        callbacks: Any = None,
    ) -> None:
        store(self, locals())

    def fit(
        self,
        X: npt.ArrayLike,
        y: None = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        sample_weight_val: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit to X (m, d); y is not read. `X_val` are held-out rows of your own, as in `MLPRegressor.fit`.

        Raises GlassnetError for input that cannot be right, and where no hidden layer can be the code.
        """
        number = self._code_number()
        super().fit(X, X, sample_weight, X_val=X_val, y_val=X_val, sample_weight_val=sample_weight_val)
        self.code_layer_ = number
        return self

    @available_if(has_partial_fit)
    def partial_fit(self, X: npt.ArrayLike, y: None = None, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Go through X (m, d) once, going on from where the last call ended; y is not read."""
        number = self.code_layer_ if hasattr(self, "code_layer_") else self._code_number()
        super().partial_fit(X, X, sample_weight)
        self.code_layer_ = number
        return self

    # ---- what the fit asks for ------------------------------------------------------------------------------------

    def _read(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, *, reset: bool, classes: Classes
    ) -> tuple[Array, Array, Array | None]:
        """Return X twice, as rows and as targets, and the weights."""
        dtype = (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)
        rows = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=dtype, reset=reset)
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        if sample_weight is None:
            return rows, rows, None
        return rows, rows, check_weights(_check_sample_weight(sample_weight, rows, dtype=rows.dtype), len(rows))

    def _check_classes(self, y: npt.ArrayLike, classes: npt.ArrayLike | None, first: bool) -> None:
        """There are none."""

    def _strata(self, Y: Array) -> None:
        return None

    def _labels_of(self, outputs: Array) -> Array:
        return outputs

    def _output(self, Y: Array) -> str:
        return architecture.matching_output(losses.get(self.loss))

    def _loss(self) -> losses.Loss:
        return losses.scaled(losses.get(self.loss), 1.0 / self.n_outputs_)

    def _score_outputs(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        return -float(np.average(_mean_squares(outputs - Y), weights=weights))

    def _code_number(self) -> int:
        """Return which hidden layer is the code, counted from 1."""
        sizes = architecture.hidden_sizes(self.hidden_layer_sizes)
        if not sizes:
            raise fault("hidden_layer_sizes", "at least one layer, the code", "()", "For example (3,).")
        if self.code_layer is None:
            return 1 + int(np.argmin(sizes))
        if isinstance(self.code_layer, bool) or not isinstance(self.code_layer, int | np.integer):
            raise fault("code_layer", "None or a whole number", repr(self.code_layer))
        if not 1 <= self.code_layer <= len(sizes):
            raise fault("code_layer", f"from 1 to {len(sizes)}, the number of hidden layers", self.code_layer)
        return int(self.code_layer)

    # ---- after the fit --------------------------------------------------------------------------------------------

    def transform(self, X: npt.ArrayLike) -> Array:
        """Return the code (m, units) of X (m, d): the activations of the narrow layer."""
        check_is_fitted(self, "theta_")
        return self.activations(X, self.code_layer_)

    def inverse_transform(self, X: npt.ArrayLike) -> Array:
        """Return rows (m, d) from codes X (m, units): the part of the network behind the code.

        Raises GlassnetError for codes of another width.
        """
        check_is_fitted(self, "theta_")
        net, units = self.network_, self._n_features_out
        code = check_array(X, dtype=(np.float64, np.float32))
        if code.shape[1] != units:
            raise fault("X", f"codes (m, {units}), as transform gives them", code.shape)
        dense = [l for l, layer in enumerate(net.layers, 1) if isinstance(layer, Dense)]
        decoder = Network(units, net.layers[dense[self.code_layer_ - 1] :])
        theta = self.theta_[net.n_parameters - decoder.n_parameters :]
        state = self.state_[len(self.state_) - decoder.state_layout.size :]
        return get_engine(self.engine).forward(decoder, theta, code, state, PREDICT).output

    def reconstruction_error(self, X: npt.ArrayLike) -> Array:
        """Return the mean over the columns of (reconstruction - X)^2 for each row, (m,)."""
        trace = self._trace(X)
        return _mean_squares(trace.output - trace.a[0])

    def score_samples(self, X: npt.ArrayLike) -> Array:
        """Return minus the reconstruction error of each row, (m,): the lower, the less like the training rows."""
        return -self.reconstruction_error(X)

    def score(self, X: npt.ArrayLike, y: None = None, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the (weighted) mean of `score_samples`; y is not read."""
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        return float(np.average(self.score_samples(X), weights=weights))

    @property
    def _n_features_out(self) -> int:
        return int(self.coefs_[self.code_layer_ - 1].shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _mean_squares(error: Array) -> Array:
    return np.asarray(np.square(error).mean(axis=1))
