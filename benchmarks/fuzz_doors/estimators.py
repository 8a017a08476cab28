"""What is passed to an estimator: all kinds of numbers, orders of memory, shapes, labels and options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

import glassnet as gn
from benchmarks.fuzz_doors.judging import pick, refusal, text

DTYPES = ["f8", "f8", "f4", "f2", "i8", "i4", "u1", "i1", "?", "O", "U4", "c16", "M8[s]", "m8[s]", "S3", "g", ">f8"]
SIZES = [0, 1, 2, 3, 7, 20, 20, 20, 20]
FILLS = [*["normal"] * 8, "zeros", "huge", "tiny", "nan", "inf", "integers", "equal"]


def case(rng: np.random.Generator, folder: Path) -> str:
    m, d = int(pick(rng, SIZES)), int(pick(rng, SIZES))
    classify = rng.random() < 0.5
    X = layout(rng, numbers(rng, (m, d)))
    y = labels(rng, m) if classify else numbers(rng, pick(rng, (*[(m,)] * 8, (m, 1), (m, 2), (m + 1,), (1, m))))
    y = layout(rng, y) if not classify else y
    options: dict[str, Any] = {
        "hidden_layer_sizes": usual(rng, ((3,), (3,), (), (2, 2), 4, (0,), (-1,), "x", [3], None)),
        "activation": usual(rng, ("relu", "relu", "tanh", "logistic", "softmax", "no", None)),
        "solver": usual(rng, ("adam", "adam", "sgd", "lbfgs", "rmsprop", "lm", "no")),
        "max_iter": usual(rng, (1, 2, 2, 3, 0, -1, 2.5)),
        "batch_size": usual(rng, ("auto", "auto", 1, 2, 10**6, 0, "x")),
        "alpha": usual(rng, (1e-4, 1e-4, 0.0, 1.0, -1.0, np.nan, np.inf)),
        "learning_rate_init": usual(rng, (1e-3, 1e-3, 0.1, 1e10, 1e-300, 0.0, np.nan)),
        "early_stopping": bool(rng.random() < 0.15),
        "batch_norm": bool(rng.random() < 0.1),
        "dropout": usual(rng, (0.0, 0.0, 0.0, 0.5, 1.0, -1)),
        "dtype": usual(rng, (None, None, None, "float32", "float64", "int8")),
        "engine": "numpy" if rng.random() < 0.8 else "numba",
        "random_state": usual(rng, (0, 0, 1, None)),
    }
    weights = usual(rng, (None, numbers(rng, (m,)), np.ones(m), np.zeros(m), -np.ones(m)))
    model = (gn.MLPClassifier if classify else gn.MLPRegressor)(**options)
    before = X.copy() if isinstance(X, np.ndarray) else None
    refused, _ = refusal(lambda: model.fit(X, y, weights), ValueError, TypeError)
    if before is not None and before.dtype != object:
        np.testing.assert_array_equal(X, before)  # what is passed in is not changed
    if refused:
        return "refused"
    assert model.status_ in ("converged", "stopped", "completed", "diverged")
    assert np.isfinite(model.theta_).all(), "weights that are not finite"
    predicted = model.predict(X)
    assert len(predicted) == m
    if classify:
        assert np.ndim(y) == 2 or np.isin(predicted, model.classes_).all()
        shares = model.predict_proba(X)
        assert shares.shape[0] == m
        assert ((shares >= 0) & (shares <= 1)).all(), "probabilities that are none"
        if np.ndim(y) == 1:  # of several labels a row, any number may be right
            np.testing.assert_allclose(shares.sum(1), 1.0, atol=1e-3)
    elif model.theta_.dtype == np.float64 and largest(X) < 1e100:
        assert np.isfinite(predicted).all()
    assert model.loss_curve_ == [] or not np.isneginf(model.loss_curve_).any()
    return "right"


def largest(X: Any) -> float:
    rows = X.toarray() if sparse.issparse(X) else np.asarray(X, float)
    return float(np.abs(rows).max(initial=0))


def usual(rng: np.random.Generator, options: Any) -> Any:
    """Return the first option, which is right, and seldom one of the others."""
    return options[0] if rng.random() < 0.93 else pick(rng, options)


def numbers(rng: np.random.Generator, shape: Any) -> Any:
    """Return an array of numbers of some kind and size."""
    fill = pick(rng, FILLS)
    a = rng.normal(size=shape)
    if fill == "zeros":
        a = np.zeros(shape)
    elif fill == "huge":
        a *= pick(rng, (1e10, 1e30, 1e100, 1e300))
    elif fill == "tiny":
        a *= pick(rng, (1e-30, 1e-300, 5e-324))
    elif fill in ("nan", "inf") and a.size:
        a.flat[int(rng.integers(a.size))] = np.nan if fill == "nan" else pick(rng, (np.inf, -np.inf))
    elif fill == "integers":
        a = rng.integers(-3, 200, shape).astype(float)
    elif fill == "equal":
        a = np.full(shape, 3.7)
    dtype = pick(rng, DTYPES) if rng.random() < 0.25 else "f8"
    with np.errstate(all="ignore"):
        try:
            return a.astype(dtype)
        except (ValueError, TypeError, OverflowError):
            return a


def layout(rng: np.random.Generator, a: Any) -> Any:
    """Return the same numbers in another order of memory, or in another container."""
    how = pick(
        rng, ("C", "C", "C", "F", "read-only", "strided", "list", "frame", "masked", "sparse", "object", "ragged")
    )
    if how == "F":
        return np.asfortranarray(a)
    if how == "read-only":
        a.flags.writeable = False
        return a
    if how == "strided" and a.ndim == 2:
        return np.repeat(np.repeat(a, 2, axis=0), 2, axis=1)[::2, ::-2]
    if how == "list":
        return a.tolist()
    if how == "frame" and a.dtype.kind in "fiu?":
        return pd.DataFrame(a) if a.ndim == 2 else pd.Series(a)
    if how == "masked":
        return np.ma.masked_array(a, mask=rng.random(a.shape) < 0.2)
    if how == "sparse" and a.ndim == 2 and a.dtype in (np.float64, np.float32) and a.size:
        return pick(rng, (sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix))(a)
    if how == "object" and a.size:
        a = a.astype(object)
        a.flat[0] = pick(rng, ("text", None, [1], 1 + 2j, 10**400, object))
        return a
    if how == "ragged" and len(a) > 1:
        return [*a[:-1].tolist(), [1.0]]
    return a


def labels(rng: np.random.Generator, m: int) -> Any:
    """Return labels of m rows."""
    names = pick(rng, ([0, 1], [0, 1], [1, 2, 3], ["a", "b"], [True, False], [-1, 1], [0.5, 1.5], ["a", 1], [None, "a"],
                       [0], [text(rng), text(rng)], [np.nan, 1.0], list(range(50))))  # fmt: skip
    y: Any = [pick(rng, names) for _ in range(m)]
    if rng.random() < 0.1:
        return rng.integers(0, 2, (m, 3))
    return pick(rng, (np.array, np.array, list, pd.Series))(y) if names != ["a", 1] else y
