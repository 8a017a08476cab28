"""What stands before or behind a network in a pipeline, as steps: linear scalers, and what `glassnet fit` puts there.

A scaler is known by the library that it comes from and its name; scikit-learn and skrub are not imported for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.export.plan import Clip, Fill, Normalise, Squash, Step, normalise

__all__ = ["BACKWARDS", "FORWARDS", "backwards", "forwards", "kind_of"]


def kind_of(transformer: Any) -> str:
    """Return "sklearn.StandardScaler" and the like."""
    return f"{type(transformer).__module__.partition('.')[0]}.{type(transformer).__name__}"


def forwards(transformer: Any, n_inputs: int, dtype: np.dtype[Any]) -> list[Step]:
    """Return the steps of `transform` for rows of `n_inputs` numbers; raises GlassnetError where there are none."""
    if transformer is None or transformer == "passthrough":
        return []
    kind = kind_of(transformer)
    if kind not in FORWARDS:
        remedy = "Export the network alone, pipeline[-1], and do this step where the file is used."
        expected = f"one of {', '.join(name.partition('.')[2] for name in FORWARDS)} to be exported"
        raise fault("a step before the network", expected, type(transformer).__name__, remedy)
    return FORWARDS[kind](transformer, n_inputs, dtype)


def backwards(transformer: Any, n_outputs: int, dtype: np.dtype[Any]) -> list[Step]:
    """Return the steps of `inverse_transform`, for the scaling of a target."""
    kind = kind_of(transformer)
    if kind == "sklearn.FunctionTransformer" and transformer.inverse_func is None:
        return []
    if kind not in BACKWARDS:
        expected = f"scaled by {' or '.join(name.partition('.')[2] for name in BACKWARDS)} to be exported"
        remedy = "Export its regressor_ and undo the scaling where the file is used."
        raise fault("the target of a TransformedTargetRegressor", expected, type(transformer).__name__, remedy)
    return BACKWARDS[kind](transformer, n_outputs, dtype)


def _all(value: Any, size: int, default: float) -> Array:
    """Return a vector: what a scaler has learned, or `default` for each where it was told not to learn it."""
    return np.full(size, default) if value is None else np.asarray(value, np.float64)


def _standard(scaler: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    """(x - mean) / scale"""
    return [normalise(_mean(scaler, n), 1.0 / _all(scaler.scale_, n, 1.0), np.zeros(n), dtype)]


def _mean(scaler: Any, n: int) -> Array:
    """Return the mean that is taken away: a StandardScaler learns one even where it does not take it away."""
    return _all(scaler.mean_ if scaler.with_mean else None, n, 0.0)


def _robust(scaler: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    """(x - center) / scale"""
    return [normalise(_all(scaler.center_, n, 0.0), 1.0 / _all(scaler.scale_, n, 1.0), np.zeros(n), dtype)]


def _min_max(scaler: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    """(x - min) scale + low, clipped to [low, high] where that was asked for."""
    low, high = map(float, scaler.feature_range)
    linear = normalise(scaler.data_min_, scaler.scale_, np.full(n, low), dtype)
    return [linear, Clip(low, high)] if scaler.clip else [linear]


def _max_abs(scaler: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    linear = normalise(np.zeros(n), 1.0 / scaler.scale_, np.zeros(n), dtype)
    return [linear, Clip(-1.0, 1.0)] if getattr(scaler, "clip", False) else [linear]


def _squashing(scaler: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    """skrub's: linear (robust, between minimum and maximum, or 0 for a constant column), then smoothly into a range."""
    centre, scale = np.zeros(n), np.zeros(n)
    if scaler.robust_scaler_ is not None:
        centre[scaler.robust_cols_] = scaler.robust_scaler_.center_
        scale[scaler.robust_cols_] = 1.0 / scaler.robust_scaler_.scale_
    if scaler.minmax_scaler_ is not None:
        centre[scaler.minmax_cols_] = scaler.minmax_scaler_.median_
        scale[scaler.minmax_cols_] = scaler.minmax_scaler_.scale_
    return [normalise(centre, scale, np.zeros(n), dtype), Squash(float(scaler.max_absolute_value))]


def _imputer(imputer: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    if not (isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)):
        raise fault("missing_values of SimpleImputer", "NaN to be exported", repr(imputer.missing_values))
    statistics = np.asarray(imputer.statistics_, np.float64)
    if np.isnan(statistics).any():
        received = f"none in column {int(np.isnan(statistics).argmax())}, which SimpleImputer leaves out"
        raise fault("each column", "with a value to be exported", received, "Leave it out of the table.")
    marked = imputer.indicator_.features_ if imputer.add_indicator else ()
    return [Fill(statistics.astype(dtype), tuple(int(i) for i in marked))]


def _standard_back(scaler: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    """y = t scale + mean"""
    scale = _all(scaler.scale_, n, 1.0)
    return [Normalise(np.zeros(n, dtype), scale.astype(dtype), _mean(scaler, n).astype(dtype))]


def _min_max_back(scaler: Any, n: int, dtype: np.dtype[Any]) -> list[Step]:
    """y = (t - low) / scale + min"""
    return [normalise(np.full(n, scaler.feature_range[0]), 1.0 / scaler.scale_, scaler.data_min_, dtype)]


FORWARDS: Mapping[str, Callable[[Any, int, np.dtype[Any]], list[Step]]] = {
    "sklearn.StandardScaler": _standard,
    "sklearn.RobustScaler": _robust,
    "sklearn.MinMaxScaler": _min_max,
    "sklearn.MaxAbsScaler": _max_abs,
    "sklearn.SimpleImputer": _imputer,
    "skrub.SquashingScaler": _squashing,
}
"""Step before the network -> its steps."""

BACKWARDS: Mapping[str, Callable[[Any, int, np.dtype[Any]], list[Step]]] = {
    "sklearn.StandardScaler": _standard_back,
    "sklearn.MinMaxScaler": _min_max_back,
}
"""Scaling of a target -> the steps that undo it."""
