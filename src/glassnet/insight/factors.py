"""By what does a gradient differ from a hypothesis: nothing, a factor with a name, a penalty, or more than that?

G = c m^e V + p W        V the data term of a hypothesis, W what a penalty would add; c, p found by least squares
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array

__all__ = ["Fit", "Known", "explain", "name_factor"]

RATES = tuple(a * 10.0**-j for j in range(1, 6) for a in (1.0, 2.0, 3.0, 5.0) if (a, j) != (5.0, 1))
"""Numbers that people choose as learning rates; 0.5 is left to the missing 2."""


@dataclass(frozen=True)
class Known:
    """Numbers that a factor may come from: m samples (0: unknown), k outputs (0: unknown), numbers among the data."""

    m: int = 0
    k: int = 0
    passed: tuple[float, ...] = ()


@dataclass(frozen=True)
class Fit:
    """An explanation: `codes`, how many things are wrong (`cost`), the relative `residual`, the `factor` found."""

    codes: tuple[str, ...]
    cost: float
    residual: float
    factor: str = ""


def name_factor(c: float, e: int, known: Known, tolerance: float = 1e-4) -> tuple[tuple[str, ...], str]:
    """Return the codes and the words for a gradient that is c m^e times what it should be.

    >>> name_factor(-0.5, 0, Known(m=32, k=3))
    (('wrong_sign', 'missing_2'), '-1/2')
    >>> name_factor(32.0, 0, Known(m=32))
    (('missing_1_over_m',), 'm = 32')
    """
    sign, size = ("wrong_sign",) if c < 0 else (), abs(c)
    minus = "-" if c < 0 else ""

    def near(x: float) -> bool:
        return abs(size - x) <= tolerance * x

    m_code = {1: ("missing_1_over_m",), -1: ("extra_1_over_m",), 0: ()}
    options = [(0, 1.0), *([(1, float(known.m)), (-1, 1.0 / known.m)] if e == 0 and known.m > 1 else [])]
    if near(1.0):
        return (*sign, *m_code[e]), minus + _power(e, known.m)
    for value in known.passed:
        if value > 0 and near(value) and value not in (2.0, 0.5):
            return (*sign, *m_code[e], "learning_rate"), f"{minus}{value:g}, a number that you passed"
    plain: tuple[tuple[str, ...], float, str] = ((), 1.0, "")
    twos = [plain, (("extra_2",), 2.0, "2"), (("missing_2",), 0.5, "1/2")]
    ks = [plain]
    if known.k > 1:
        ks += [(("missing_1_over_k",), float(known.k), "k"), (("extra_1_over_k",), 1.0 / known.k, "1/k")]
    for (extra, times), two, k in sorted(
        itertools.product(options, twos, ks), key=lambda t: (t[0][0] != 0) + bool(t[1][0]) + bool(t[2][0])
    ):
        if near(times * two[1] * k[1]):
            words = " * ".join(w for w in (_power(e or extra, known.m) if e or extra else "", two[2], k[2]) if w)
            return (*sign, *m_code[e or extra], *two[0], *k[0]), minus + words
    if any(near(rate) for rate in RATES):
        return (*sign, *m_code[e], "learning_rate"), f"{minus}{size:g}"
    return (*sign, *m_code[e], "constant_factor"), f"{minus}{size:.6g}"


def _power(e: int, m: int) -> str:
    return {0: "1", 1: f"m = {m}", -1: f"1/m = 1/{m}"}[e]


def explain(
    G: Sequence[Array], V: Sequence[Array], P: Sequence[Array] | None, W: Sequence[Array] | None, m: Sequence[int],
    known: Known, tolerance: float,
) -> Fit | None:  # fmt: skip
    """Return how the gradients G differ from the data term V plus the penalty P at all probes, None where unclear.

    G, V, P and W hold an array for each probe, m the samples of each. P None: no penalty, or one inside V (measured);
    W is what a penalty could add.
    """
    g, v, size = _flat(G), _flat(V), np.repeat(np.asarray(m, dtype=float), [np.size(x) for x in G])
    p = None if P is None or not np.any(_flat(P)) else _flat(P)
    w = None if W is None or not np.any(_flat(W)) else _flat(W)
    top = float(np.abs(g).max(initial=0.0))
    if top == 0 or not np.abs(v).max(initial=0.0) > 0:
        return None
    whole = v if p is None else v + p

    def residual(x: Array) -> float:
        return float(np.abs(g - x).max()) / top

    if (r := residual(whole)) <= tolerance:
        return Fit((), 0.0, r)
    powers = (0, 1, -1) if len(set(m)) > 1 else (0,)
    for e in powers if g.size > 2 else ():
        u = whole * size**e
        c = float(u @ g / (u @ u))
        if (r := residual(c * u)) <= tolerance:
            codes, words = name_factor(c, e, known)
            return Fit(codes, 1.0, r, words)
    if g.size < 5:
        return None
    return _with_penalty(g, v, p, w, size, powers, known, tolerance)


def _with_penalty(
    g: Array, v: Array, p: Array | None, w: Array | None, size: Array, powers: Sequence[int], known: Known,
    tolerance: float,
) -> Fit | None:  # fmt: skip
    """Try the rest of explain: a wrong penalty, alone or with a factor in the data term."""
    top = float(np.abs(g).max())
    unit = p if p is not None else w
    if unit is None:
        return None
    for e in powers:
        u = unit * size**e
        q = float(u @ (g - v) / (u @ u))
        if (r := float(np.abs(g - v - q * u).max()) / top) <= tolerance:
            return Fit(_penalty(q, e, p is not None), 1.0, r, f"{q:.4g}")
    for e in powers:
        u = v * size**e
        if p is not None:
            c = float(u @ (g - p) / (u @ u))
            if (r := float(np.abs(g - p - c * u).max()) / top) <= tolerance:
                codes, words = name_factor(c, e, known)
                return Fit(codes, 1.1, r, f"{words} in the data term alone")
    for e in powers:
        X = np.stack([v * size**e, unit], axis=1)
        found = np.linalg.lstsq(X / np.abs(X).max(axis=0), g, rcond=None)[0] / np.abs(X).max(axis=0)
        if (r := float(np.abs(g - X @ found).max()) / top) <= tolerance:
            codes, words = name_factor(float(found[0]), e, known)
            q = float(found[1])
            penalty = ("penalty_missing",) if p is not None and abs(q) < 1e-4 else _penalty(q, 0, p is not None)
            return Fit((*codes, *penalty), 2.0, r, words)
    return None


def _penalty(q: float, e: int, in_loss: bool) -> tuple[str, ...]:
    if not in_loss:
        return ("penalty_only_in_gradient",) if q > 0 else ("penalty_missing",)
    values: Mapping[str, float] = {
        "penalty_missing": 0.0, "penalty_without_2": 0.5, "penalty_twice": 2.0, "penalty_sign": -1.0,
    }  # fmt: skip
    if e == 0:
        for code, value in values.items():
            if abs(q - value) < 1e-3:
                return (code,)
    return ("penalty_factor",)


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.ravel(a) for a in arrays])
