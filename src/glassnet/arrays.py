"""Arrays at the door: one type for annotations, and the checks that every public function shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.errors import GlassnetError, fault, type_fault

__all__ = [
    "Array", "Seed", "as_floats", "as_matrix", "as_rows", "as_weights", "check_count", "check_weights", "generator",
    "mapping_of", "read_only",
]  # fmt: skip

Array = npt.NDArray[Any]
"""A NumPy array of float32, float64 or (for complex-step derivatives) complex128."""

Seed = int | np.random.Generator | np.random.SeedSequence | None
"""What `numpy.random.default_rng` takes: a seed, a generator, or None for a fresh one."""


def generator(rng: Any) -> np.random.Generator:
    """Return the generator that `rng` (a `Seed`) stands for; raises GlassnetError for what cannot be one.

    >>> generator(0).integers(100)
    np.int64(85)
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type_fault("rng", "a whole number from 0 up or a numpy.random.Generator", repr(rng), "rng=0") from error


def as_floats(name: str, value: npt.ArrayLike) -> Array:
    """Return `value` as an array of floats: float32, float64 and complex128 stay, all else becomes float64.

    Raises GlassnetError for text and objects, NaN and infinity.
    """
    if hasattr(value, "tocsr"):
        raise type_fault(name, "a dense array", f"a sparse {type(value).__name__}", f"{name}.toarray() makes it dense.")
    if value is None:
        raise type_fault(name, "an array", None)
    array = np.asarray(value)
    if array.dtype.kind in "OUSMm":
        try:
            if array.dtype.kind != "O":
                raise TypeError("neither a date nor a text is a number, whatever it spells")
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            remedy = "Text and categories: see glassnet.tables."
            if array.dtype.kind in "US":
                remedy += f" Numbers that are spelled out: {name}.astype(float)."
            raise type_fault(name, "numbers", f"dtype {array.dtype}", remedy) from error
    elif array.dtype == np.complex64:
        array = array.astype(np.complex128)
    elif array.dtype not in (np.float32, np.float64, np.complex128):
        array = array.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    if not np.isfinite(total) and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
        raise fault(name, "finite", f"NaN or infinity (first in row {row})", "Drop the row or fill the value in first.")
    return array


def as_matrix(name: str, value: npt.ArrayLike, n_columns: int) -> Array:
    """Return `value` as floats of shape (..., m, n_columns)."""
    array = as_floats(name, value)
    if array.ndim < 2 or array.shape[-1] != n_columns:
        remedy = f"One row? {name}[None, :]." if array.shape == (n_columns,) else ""
        if array.ndim == 1 and n_columns == 1:
            remedy = f"One column? {name}[:, None]."
        raise fault(name, f"(m, {n_columns})", array.shape, remedy)
    return array


def as_rows(X: npt.ArrayLike, Y: npt.ArrayLike, n_inputs: int, n_outputs: int) -> tuple[Array, Array]:
    """Return X (..., m, n_inputs) and Y (..., m, n_outputs) as floats with equally many rows."""
    inputs = as_matrix("X", X, n_inputs)
    targets = as_floats("Y", Y)
    if targets.ndim == 1 and n_outputs > 1:
        raise fault(
            "Y", f"(m, {n_outputs})", targets.shape, "Class labels? glassnet.one_hot(y) makes them rows of 0 and 1."
        )
    targets = as_matrix("Y", targets, n_outputs)
    if inputs.shape[-2] != targets.shape[-2]:
        raise GlassnetError(
            f"X and Y must have equally many rows, received {inputs.shape[-2]} and {targets.shape[-2]}."
        )
    if inputs.shape[-2] == 0:
        raise GlassnetError("X must have at least one row, received none.")
    return inputs, targets


def as_weights(sample_weight: npt.ArrayLike | None, m: int) -> Array | None:
    """Return sample weights as (m,) floats with mean 1; None stays None (all equal).

    With mean 1 over the data, the mean of w_i loss_i over a mini-batch estimates the weighted mean over the data.
    Raises GlassnetError for another shape, negative weights, and weights that are all zero.
    """
    if sample_weight is None:
        return None
    weights = check_weights(sample_weight, m)
    return np.asarray(weights / weights.mean(dtype=np.float64)).astype(weights.dtype)


def check_weights(sample_weight: npt.ArrayLike, m: int) -> Array:
    """Return sample weights as (m,) floats as they are, none negative and not all zero."""
    weights = as_floats("sample_weight", sample_weight)
    if weights.shape != (m,):
        raise fault("sample_weight", f"({m},)", weights.shape, "One weight a row of X.")
    if weights.min() < 0 or weights.sum() <= 0:
        raise fault("sample_weight", "at least 0 with a positive sum", f"a sum of {weights.sum():g}")
    return weights


def mapping_of(array: Array) -> np.memmap[Any, Any] | None:
    """Return the `numpy.memmap` whose memory an array views, None where there is none."""
    owner: object = array
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    return owner if isinstance(owner, np.memmap) else None


def read_only(array: Array) -> Array:
    """Return a view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_count(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return `value` as an int of at least `least` and at most `most`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise type_fault(name, f"a whole number of at least {least}", repr(value))
    if value < least:
        raise fault(name, f"at least {least}", int(value))
    if most is not None and value > most:
        raise fault(name, f"at most {most:,}", int(value))
    return int(value)
