"""Right backpropagation in random styles: what `gn.debug_gradients` must find nothing in.

A style is drawn from the seed: layers, activations, output and loss, sums or means, penalties, rows or columns, how the
weights lie and where the biases are, how parameters are kept, single precision, ReLU kinks, and things that no dense
network has (a shortcut, a sine, weights for the samples, tied weights).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Sound", "sound"]

ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "leaky": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01).astype(z.dtype)),
    "softplus": (lambda z: np.log1p(np.exp(z)), lambda z: 1 / (1 + np.exp(-z))),
    "sine": (np.sin, np.cos),
    "square": (lambda z: z * z, lambda z: 2 * z),
}
KEPT = ("dict", "list", "tuple", "flat", "nested", "two functions", "loose")
"""How parameters and gradients are kept; "loose": `return loss, dW1, db1, ...`."""


@dataclass(frozen=True)
class Sound:
    """A right program: what `debug_gradients` is given, and its style in words."""

    function: Any
    params: Any
    data: tuple[Any, ...]
    style: str


@dataclass(frozen=True)
class Style:
    sizes: tuple[int, ...]
    hidden: tuple[str, ...]
    output: str
    scale: str
    lam: float
    penalty: str
    columns: bool
    turned: bool
    bias: str
    kept: str
    single: bool
    labels: bool
    special: str
    m: int


def draw(rng: np.random.Generator) -> Style:
    """Return a style; the rarer options are the ones that are rarer among people."""
    L = int(rng.choice([1, 2, 2, 2, 3, 3, 4]))
    output = str(rng.choice(["softmax", "softmax", "bce", "sigmoid", "linear", "linear", "tanh", "log cosh"]))
    sizes = (
        *(int(n) for n in rng.integers(2, 7, L)),
        int(rng.integers(2, 5)) if output == "softmax" else int(rng.integers(1, 4)),
    )
    hidden = tuple(str(rng.choice(list(ACTIVATIONS)[: 7 if rng.random() < 0.2 else 5])) for _ in range(L - 1))
    if rng.random() < 0.7:
        hidden = hidden[:1] * len(hidden)
    columns = bool(rng.random() < 0.4)
    return Style(
        sizes, hidden, output,
        str(rng.choice(["mean", "mean", "half mean", "sum", "half sum", "mean of all", "double"])),
        float(rng.choice([0.0, 0.0, 0.01, 0.3])), str(rng.choice(["half", "plain", "half/m", "biases too", "l1"])),
        columns, bool(rng.random() < (0.8 if columns else 0.15)),
        str(rng.choice(["vector", "vector", "matrix", "none", "row"])),
        str(rng.choice(KEPT)), bool(rng.random() < 0.15), bool(rng.random() < 0.4),
        str(rng.choice(["", "", "", "", "", "kinks", "zeros", "weights", "shortcut", "tied"])),
        int(rng.choice([1, 2, 5, 12, 30])),
    )  # fmt: skip


def gradient(s: Style, W: list[Any], b: list[Any], X: Any, Y: Any, w: Any) -> tuple[Any, list[Any], list[Any]]:
    """Return (loss, dW, db) with samples in rows and W (n_in, n_out)."""
    m, k, L = len(X), Y.shape[1], len(W)
    c = {"mean": 1 / m, "half mean": 0.5 / m, "sum": 1.0, "half sum": 0.5, "mean of all": 1 / (m * k), "double": 2 / m}
    z, a = [], [X]
    for l in range(L):
        z.append(a[-1] @ W[l] + b[l])
        if l < L - 1:
            a.append(ACTIVATIONS[s.hidden[l]][0](z[-1]))
            if s.special == "shortcut" and a[-1].shape == a[-2].shape:
                a[-1] = a[-1] + a[-2]
    o = z[-1]
    if s.output == "softmax":
        e = np.exp(o - o.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        cost, d = -Y * np.log(p), p - Y
    elif s.output == "bce":
        p = 1 / (1 + np.exp(-o))
        cost, d = -Y * np.log(p) - (1 - Y) * np.log(1 - p), p - Y
    elif s.output == "log cosh":
        cost, d = np.log(np.cosh(o - Y)), np.tanh(o - Y)
    else:
        f, df = ACTIVATIONS[s.output] if s.output != "linear" else (lambda z: z, np.ones_like)
        cost, d = (f(o) - Y) ** 2, 2 * (f(o) - Y) * df(o)
    factor = np.asarray(c[s.scale], X.dtype) * w[:, None]
    loss, d = (factor * cost).sum(), factor * d
    dW, db = [np.zeros_like(v) for v in W], [np.zeros_like(v) for v in b]
    da = 0.0
    for l in range(L - 1, -1, -1):
        dW[l], db[l] = a[l].T @ d, d.sum(axis=0)
        if l:
            passed = s.special == "shortcut" and l < L - 1 and a[l + 1].shape == a[l].shape
            da = d @ W[l].T + (da if passed else 0.0)
            d = da * ACTIVATIONS[s.hidden[l - 1]][1](z[l - 1])
    lam = s.lam / m if s.penalty == "half/m" else s.lam
    if s.penalty == "l1":
        return (
            loss + lam * sum(np.abs(v).sum() for v in W),
            [g + lam * np.sign(v) for g, v in zip(dW, W, strict=True)],
            db,
        )
    half = 1 if s.penalty == "plain" else 0.5
    every = [*W, *(b if s.penalty == "biases too" else [])]
    loss = loss + half * lam * sum((v * v).sum() for v in every)
    dW = [g + 2 * half * lam * v for g, v in zip(dW, W, strict=True)]
    if s.penalty == "biases too":
        db = [g + 2 * half * lam * v for g, v in zip(db, b, strict=True)]
    return loss, dW, db


def lay(s: Style, W: list[Any], b: list[Any]) -> dict[str, Any]:
    """Return the arrays as the program keeps them, by name."""
    found = {}
    for l, (v, c) in enumerate(zip(W, b, strict=True), 1):
        if s.bias == "row":
            v = np.vstack([c, v])
        found[f"W{l}"] = v.T.copy() if s.turned else v
        if s.bias in ("vector", "matrix"):
            found[f"b{l}"] = c if s.bias == "vector" else c[:, None] if s.columns else c[None, :]
    if s.special == "tied":
        del found["W2"]
    return found


def unlay(s: Style, arrays: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return W (n_in, n_out) and b (n_out,) of each layer."""
    W, b = [], []
    for l in range(1, len(s.sizes)):
        v = arrays["W1"].T if s.special == "tied" and l == 2 else arrays[f"W{l}"]
        v = v.T if s.turned else v
        c = np.zeros(v.shape[1], v.dtype)
        if s.bias == "row":
            v, c = v[1:], v[0]
        elif s.bias != "none":
            c = arrays[f"b{l}"].ravel()
        W.append(v)
        b.append(c)
    return W, b


def keep(s: Style, arrays: dict[str, Any]) -> Any:
    """Return the arrays in the program's own container."""
    if s.kept == "flat":
        return np.concatenate([a.ravel() for a in arrays.values()])
    if s.kept == "nested":
        layers = range(1, len(s.sizes))
        return [{n[0]: a for n, a in arrays.items() if n.endswith(str(l))} for l in layers]
    kinds: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "loose": list}
    return kinds[s.kept](arrays.values()) if s.kept in kinds else dict(arrays)


def unkeep(s: Style, params: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    if s.kept == "flat":
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
        return {n: v.reshape(shape) for (n, shape), v in zip(shapes.items(), np.split(params, ends), strict=True)}
    if s.kept == "nested":
        return {f"{n}{l}": a for l, layer in enumerate(params, 1) for n, a in layer.items()}
    return dict(zip(shapes, params, strict=True)) if s.kept in ("list", "tuple", "loose") else params


def program(s: Style, shapes: dict[str, tuple[int, ...]]) -> Any:
    """Return the function, or the pair of functions."""

    def both(params: Any, X: Any, y: Any, *rest: Any) -> Any:
        arrays = unkeep(s, params, shapes)
        X = X.T if s.columns else X
        if s.single:
            X, arrays = X.astype(np.float32), {n: a.astype(np.float32) for n, a in arrays.items()}
        m, k = len(X), s.sizes[-1]
        Y = (
            np.eye(k)[y]
            if s.labels and s.output == "softmax"
            else (y.T if s.columns and y.ndim == 2 else y).reshape(m, k)
        )
        w = rest[0] if rest else np.ones(m)
        loss, dW, db = gradient(s, *unlay(s, arrays), X, Y.astype(X.dtype), w.astype(X.dtype))
        if s.special == "tied":
            dW[0] = dW[0] + dW[1].T
        grads = keep(s, lay(s, dW, db))
        return (loss, *grads) if s.kept == "loose" else (loss, grads)

    if s.kept == "two functions":
        return (lambda *given: both(*given)[0]), (lambda *given: both(*given)[1])
    return both


def sound(seed: int) -> Sound:
    """Return the right program of this seed."""
    rng = np.random.default_rng((seed, 11))
    s = draw(rng)
    if s.special == "tied":
        if len(s.sizes) != 3 or s.bias == "row" or s.kept == "nested":
            s = replace(s, special="")
        else:
            s = replace(s, sizes=(s.sizes[0], s.sizes[1], s.sizes[0]), output="linear", labels=False)
    m, n, k = s.m, s.sizes[0], s.sizes[-1]
    X = rng.normal(size=(m, n))
    labels = rng.integers(0, k, m)
    Y = np.eye(k)[labels] if s.output == "softmax" else rng.random((m, k))
    if s.output == "bce":
        Y = np.round(Y)
    W = [rng.normal(size=pair) / np.sqrt(pair[0]) for pair in zip(s.sizes[:-1], s.sizes[1:], strict=True)]
    b = [rng.normal(size=q) * 0.2 for q in s.sizes[1:]]
    if s.special == "kinks":
        s = replace(s, hidden=("relu",) * len(s.hidden))
        b, X = [0 * c for c in b], X * (rng.random((m, 1)) < 0.6)
    if s.special == "zeros":
        W, b = [0 * v for v in W], [0 * c for c in b]
    arrays = lay(s, W, b)
    y: Any = labels if s.labels and s.output == "softmax" else Y.T if s.columns else Y
    if k == 1 and not s.columns and rng.random() < 0.5:
        y = Y.ravel()
    data = (X.T.copy() if s.columns else X, y, *((rng.uniform(0.5, 2.0, m),) if s.special == "weights" else ()))
    shapes = {name: a.shape for name, a in arrays.items()}
    words = ", ".join(str(part) for part in vars(s).values() if part not in ("", False))
    return Sound(program(s, shapes), keep(s, arrays), data, words)
