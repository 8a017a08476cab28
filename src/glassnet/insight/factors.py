"""By what does a gradient differ from a hypothesis: nothing, a factor with a name, a penalty, or more than that?

G = c m^e V + p W        V the data term of a hypothesis, W what a penalty would add; c, p found by least squares
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array

__all__ = ["Factor", "Fit", "Known", "explain", "name_factor"]

POWERS: Mapping[int, tuple[str, ...]] = {1: ("missing_1_over_m",), -1: ("extra_1_over_m",), 0: ()}
"""The codes for a factor of m^e."""

Part = tuple[tuple[str, ...], float, str]
"""(codes, size, words) of a factor."""

RATES = tuple(a * 10.0**-j for j in range(1, 6) for a in (1.0, 2.0, 3.0, 5.0) if (a, j) != (5.0, 1))
"""Numbers that people choose as learning rates; 0.5 is left to the missing 2."""


@dataclass(frozen=True)
class Known:
    """Numbers that a factor may come from: m samples (0: unknown), k outputs (0: unknown), numbers among the data.

    `varies`: m was varied, so that a factor of m shows as a power of it.
    """

    m: int = 0
    k: int = 0
    passed: tuple[float, ...] = ()
    varies: bool = False


@dataclass(frozen=True)
class Factor:
    """A constant factor by name: its `codes`, the factor in `words`, and other names for the same number."""

    codes: tuple[str, ...]
    words: str
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """An explanation: `codes`, how many things are wrong (`cost`), the relative `residual`, the `factor` found.

    `rivals` are other codes that give the same numbers.
    """

    codes: tuple[str, ...]
    cost: float
    residual: float
    factor: str = ""
    rivals: tuple[str, ...] = ()


def name_factor(c: float, e: int, known: Known, tolerance: float = 1e-4) -> Factor:
    """Return what a gradient that is c m^e times the right one must be called.

    >>> name_factor(-0.5, 0, Known(m=32, k=3))
    Factor(codes=('wrong_sign', 'missing_2'), words='-1/2', rivals=())
    >>> name_factor(0.5, 0, Known(m=32, k=2)).rivals
    ('extra_1_over_k',)
    >>> name_factor(32.0, 0, Known(m=32)).words
    'm = 32'
    """
    start = (*(("wrong_sign",) if c < 0 else ()), *POWERS[e])
    minus = "-" if c < 0 else ""
    found = [(codes, words) for codes, size, words in _sizes(e, known) if abs(abs(c) - size) <= tolerance * size]
    if not found:
        return Factor((*start, "constant_factor"), f"{minus}{abs(c):.6g}")
    least = min(len(codes) for codes, _ in found)
    same = [(codes, words) for codes, words in found if len(codes) == least]
    if same[0][0] == ("fixed_m",):
        start = start[: c < 0]
    rivals = dict.fromkeys("+".join((*start, *codes)) for codes, _ in same[1:] if codes != same[0][0])
    return Factor((*start, *same[0][0]), minus + same[0][1], tuple(rivals))


def _sizes(e: int, known: Known) -> Iterator[Part]:
    """Go through (codes, size, words) of factors with a name, those that are likelier first."""
    m, k = float(known.m), float(known.k)
    yield (), 1.0, _power(e, known.m)
    if e and m > 1:
        yield ("fixed_m",), m**-e, "by chance 1"
    for value in known.passed:
        if value > 0 and value not in (2.0, 0.5):
            yield ("learning_rate",), value, f"{value:g}, a number that you passed,"
    plain: tuple[tuple[str, ...], float, str] = ((), 1.0, "")
    powers: list[Part] = [((), 1.0, _power(e, known.m) if e else "")]
    if e == 0 and m > 1 and not known.varies:
        powers += [(POWERS[1], m, _power(1, known.m)), (POWERS[-1], 1 / m, _power(-1, known.m))]
    twos = [plain, (("extra_2",), 2.0, "2"), (("missing_2",), 0.5, "1/2")]
    ks = (
        [plain, (("missing_1_over_k",), k, f"k = {known.k}"), (("extra_1_over_k",), 1 / k, f"1/k = 1/{known.k}")]
        if k > 1
        else [plain]
    )
    for power, many, two in itertools.product(powers, ks, twos):
        words = " * ".join(part[2] for part in (power, two, many) if part[2])
        yield (*power[0], *two[0], *many[0]), power[1] * two[1] * many[1], words
    for rate in RATES:
        yield ("learning_rate",), rate, f"{rate:g}"


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
            name = name_factor(c, e, known)
            return Fit(name.codes, max(1.0, float(len(name.codes))), r, name.words, name.rivals)
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
                name = name_factor(c, e, known)
                return Fit(name.codes, 1.1, r, f"{name.words} in the data term alone", name.rivals)
    for e in powers:
        X = np.stack([v * size**e, unit], axis=1)
        found = np.linalg.lstsq(X / np.abs(X).max(axis=0), g, rcond=None)[0] / np.abs(X).max(axis=0)
        if (r := float(np.abs(g - X @ found).max()) / top) <= tolerance:
            if p is None and e == 0 and found[0] < 0 and abs(found[1] - 1.0) < 1e-4:
                return Fit(("updated_params",), 1.0, r, f"{-found[0]:.6g}")
            name = name_factor(float(found[0]), e, known)
            q = float(found[1])
            penalty = ("penalty_missing",) if p is not None and abs(q) < 1e-4 else _penalty(q, 0, p is not None)
            return Fit((*name.codes, *penalty), 2.0, r, name.words)
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
