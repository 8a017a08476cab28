"""Which hypothesis gives somebody's gradient? Tried for each array, from the last layer to the first.

Where the network is known, each layer starts from the deltas that the layers after it may have handed down: the right
one, and the wrong one that explained them. So an array whose own line is right is told from one that is wrong itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.insight.chains import Slot
from glassnet.insight.factors import Fit, Known, explain
from glassnet.insight.mutants import bias_products, hidden_deltas, mixed_products, output_deltas, weight_products
from glassnet.insight.rebuilding import Pass, Rebuilt, Terms

__all__ = ["Finding", "Point", "Scene", "exchanged", "judge_by_network", "judge_by_numbers", "right_gradients"]

UNEXPLAINED = 10.0
"""The cost of an array that nothing explains."""

MOST_ENTRIES = 1000


@dataclass(frozen=True)
class Point:
    """Where the function was asked: parameters, data, m samples, and its gradients in the parameters' shapes."""

    arrays: tuple[Array, ...]
    data: Sequence[Any]
    m: int
    grads: tuple[Array | None, ...]
    loss: float


@dataclass(frozen=True)
class Scene:
    """What the recognised network does at a point; `deltas` are the right ones of the layers 1 ... L."""

    forward: Pass
    Y: Array
    terms: Terms
    deltas: Mapping[int, Array]
    m: int


@dataclass(frozen=True)
class Finding:
    """The codes that explain an array, the cost of that, other codes that cost the same, and what is left."""

    codes: tuple[str, ...]
    cost: float
    residual: float
    rivals: tuple[str, ...] = ()
    factor: str = ""


def scene(net: Rebuilt, terms: Terms, point: Point) -> Scene:
    """Return the recognised network at a point, with every z, a and right delta."""
    X, Y = net.read(point.data)
    forward = net.forward(point.arrays, X)
    L = len(net.slots)
    deltas = {L: output_deltas(net, forward, Y, terms.c)[""]}
    for l in range(L - 1, 0, -1):
        deltas[l] = hidden_deltas(net, forward, l, deltas[l + 1])[""]
    return Scene(forward, Y, terms, deltas, len(X))


def right_gradients(net: Rebuilt, terms: Terms, point: Point) -> dict[int, Array]:
    """Return the right gradient of each array at a point, in the parameters' shapes."""
    at, found = scene(net, terms, point), {}
    for l, slot in enumerate(net.slots, 1):
        dW, db = at.forward.a[l - 1].T @ at.deltas[l], at.deltas[l].sum(axis=0)
        PW, Pb = _penalties(at, l)
        shape = point.arrays[slot.weight].shape
        found[slot.weight] = slot.write(dW + PW, db + Pb, shape)
        if slot.bias is not None:
            found[slot.bias] = (db + Pb).reshape(point.arrays[slot.bias].shape)
    return found


def _penalties(at: Scene, l: int) -> tuple[Array, Array]:
    W, b, t = at.forward.W[l - 1], at.forward.b[l - 1], at.terms
    return 2 * t.l2 * W + t.l1 * np.sign(W), 2 * t.bias_l2 * b


def judge_by_network(
    net: Rebuilt, terms: Sequence[Terms], points: Sequence[Point], known: Known, tolerance: float
) -> dict[int, Finding]:
    """Return what explains each array (by its place); arrays that nothing explains are left out.

    `terms` are the coefficients of the loss at each point. Gradients must have the shapes of the parameters.
    """
    scenes = [scene(net, t, point) for t, point in zip(terms, points, strict=True)]
    found: dict[int, Finding] = {}
    L = len(net.slots)
    handed: list[tuple[bool, list[Array]]] = []
    for l in range(L, 0, -1):
        best: tuple[float, str, bool, list[Array], dict[int, Finding]] | None = None
        for inherited, code, deltas in _bases(net, scenes, l, handed):
            own = _layer(net, scenes, points, l, deltas, known, tolerance)
            n = 1 + (net.slots[l - 1].bias is not None)
            cost = sum(f.cost for f in own.values()) + UNEXPLAINED * (n - len(own)) + 0.1 * inherited + 0.9 * bool(code)
            if best is None or cost < best[0] - 1e-9:
                best = (cost, code, inherited, deltas, own)
            if cost == 0:
                break
        if best is None:
            break
        _, code, inherited, deltas, own = best
        start = (*([code] if code else []), *(["inherited"] if inherited else []))
        found |= {i: replace(f, codes=(*start, *f.codes), cost=f.cost + len(start)) for i, f in own.items()}
        right = [s.deltas[l] for s in scenes]
        handed = [(False, right)]
        if own and (code or inherited):
            handed.append((True, deltas))
    return found


def _bases(
    net: Rebuilt, scenes: Sequence[Scene], l: int, handed: Sequence[tuple[bool, list[Array]]]
) -> Iterator[tuple[bool, str, list[Array]]]:
    """Go through (inherited, code, delta at each point) of layer l."""
    if l == len(net.slots):
        options = [output_deltas(net, s.forward, s.Y, s.terms.c) for s in scenes]
        yield from ((False, key.split(" ")[0], [o[key] for o in options]) for key in options[0])
        return
    for inherited, after in handed:
        options = [hidden_deltas(net, s.forward, l, d) for s, d in zip(scenes, after, strict=True)]
        yield from ((inherited, key.split(" ")[0], [o[key] for o in options]) for key in options[0])


def _layer(
    net: Rebuilt, scenes: Sequence[Scene], points: Sequence[Point], l: int, deltas: Sequence[Array], known: Known,
    tolerance: float,
) -> dict[int, Finding]:  # fmt: skip
    """Return what explains the arrays of one layer, given its delta at each point."""
    slot, found = net.slots[l - 1], {}
    others = [{j: d for j, d in s.deltas.items() if j != l} for s in scenes]
    products = [
        weight_products(s.forward, l, d, o) for s, d, o in zip(scenes, deltas, others, strict=True)
    ]  # fmt: skip
    sums = [bias_products(d, o) for d, o in zip(deltas, others, strict=True)]
    penalties = [_penalties(s, l) for s in scenes]
    shape = points[0].arrays[slot.weight].shape
    P = [slot.write(PW, Pb, shape) for PW, Pb in penalties]
    W = [slot.write(s.forward.W[l - 1], 0 * s.forward.b[l - 1], shape) for s in scenes]
    variants = {
        key: [slot.write(p[key], s[key] if key in s else s[""], shape) for p, s in zip(products, sums, strict=True)]
        for key in products[0]
        if all(key in p for p in products)
    }
    if slot.within:  # a column of ones among the inputs
        variants |= _mixed_with_ones(slot, scenes, l, deltas, shape)
    finding = _best(points, slot.weight, variants, P, W, known, tolerance)
    if finding is not None:
        found[slot.weight] = finding
    if slot.bias is not None:
        bias_shape = points[0].arrays[slot.bias].shape
        own = {key: [s[key].reshape(bias_shape) for s in sums] for key in sums[0] if all(key in s for s in sums)}
        Pb = [p.reshape(bias_shape) for _, p in penalties]
        b = [s.forward.b[l - 1].reshape(bias_shape) for s in scenes]
        finding = _best(points, slot.bias, own, Pb, b, known, tolerance)
        if finding is not None:
            found[slot.bias] = finding
    return found


def _mixed_with_ones(
    slot: Slot, scenes: Sequence[Scene], l: int, deltas: Sequence[Array], shape: tuple[int, ...]
) -> dict[str, list[Array]]:
    """Return the products that mix samples, where the inputs carry a column of ones for the bias."""
    rows = []
    for at, delta in zip(scenes, deltas, strict=True):
        A, ones = at.forward.a[l - 1], np.ones((at.m, 1))
        rows.append(mixed_products(np.hstack([ones, A] if slot.within == "first" else [A, ones]), delta))
    count = min(len(row) for row in rows)
    whole = [[(array.T if slot.turned else array).reshape(shape) for array in row[:count]] for row in rows]
    return {f"samples_mixed {i}": [row[i] for row in whole] for i in range(count)}


def _best(
    points: Sequence[Point], which: int, variants: Mapping[str, Sequence[Array]], P: Sequence[Array] | None,
    W: Sequence[Array], known: Known, tolerance: float,
) -> Finding | None:  # fmt: skip
    """Return the cheapest explanation of one array among variants of its data term."""
    given = [point.grads[which] for point in points]
    G = [g for g in given if g is not None]
    if len(G) < len(points):
        return None
    m, options = [point.m for point in points], []
    square = G[0].ndim == 2 and G[0].shape[0] == G[0].shape[1] > 1
    few = _entries(G[0], variants[""][0])
    P, W = None if P is None else [p.flat[few] for p in P], [w.flat[few] for w in W]
    for key, whole in variants.items():
        code, V = key.split(" ")[0], [v.flat[few] for v in whole]
        for turned in (False, True) if square else (False,):
            own = [(g.T if turned else g).flat[few] for g in G]
            fit = explain(own, V, P, W, m, known, tolerance)
            if fit is None:
                continue
            codes = (*([code] if code else []), *(["transposed"] if turned else []), *fit.codes)
            options.append(Finding(codes, fit.cost + bool(code) + turned, fit.residual, fit.rivals, fit.factor))
            if not codes:
                return options[-1]
    if not options:
        return None
    first = min(options, key=lambda f: (f.cost, f.residual > tolerance))
    rivals = {"+".join(f.codes) for f in options if f.cost <= first.cost + 0.01 and f.codes != first.codes}
    return replace(first, rivals=tuple(sorted({*rivals, *first.rivals})))


def _entries(G: Array, right: Array) -> Array:
    """Return the flat entries that hypotheses are tried on: all, or of a large array many and those most wrong."""
    if G.size <= MOST_ENTRIES:
        return np.arange(G.size)
    some = np.random.default_rng(0).choice(G.size, MOST_ENTRIES, replace=False)
    return np.union1d(some, np.argsort(np.abs(G - right).ravel())[-MOST_ENTRIES // 4 :])


def judge_by_numbers(
    points: Sequence[Point], truths: Sequence[Sequence[Array]], kept: Sequence[Array], known: Known, tolerance: float
) -> dict[int, Finding]:
    """Return what explains each array from measured derivatives alone: factors, signs, transposes, swaps, penalties.

    truths[i][j] is the measured gradient of array j at point i, NaN where it was not measured; kept[j] says which
    entries of array j may be compared.
    """
    found = {}
    for j, keep in enumerate(kept):
        given = [point.grads[j] for point in points]
        G = [g for g in given if g is not None]
        if len(G) < len(points) or not keep.any():
            continue
        options: list[Finding] = []
        W = [point.arrays[j][keep] for point in points]
        m = [point.m for point in points]

        def add(fit: Fit | None, code: str, to: list[Finding] = options) -> None:
            if fit is not None:
                codes = (*([code] if code else []), *fit.codes)
                to.append(Finding(codes, fit.cost + bool(code), fit.residual, fit.rivals, fit.factor))

        V = [truth[j][keep] for truth in truths]
        add(explain([g[keep] for g in G], V, None, W, m, known, tolerance), "")
        if G[0].ndim == 2 and G[0].shape[0] == G[0].shape[1] > 1:
            add(explain([g.T[keep] for g in G], V, None, W, m, known, tolerance), "transposed")
        for i, other in enumerate(kept):
            if i != j and other.shape == keep.shape and other.sum() * len(points) > 3:
                theirs = [truth[i][other] for truth in truths]
                add(explain([g[other] for g in G], theirs, None, None, m, known, tolerance), "swapped")
        if options:
            found[j] = min(options, key=lambda f: f.cost)
    return found


def exchanged(
    points: Sequence[Point], truths: Sequence[Sequence[Array]], kept: Sequence[Array], tolerance: float
) -> dict[int, Finding]:
    """Return findings for pairs of arrays of which each holds the right gradient of the other."""

    def holds(i: int, j: int) -> bool:
        keep = kept[j]
        for point, truth in zip(points, truths, strict=True):
            g = point.grads[i]
            if g is None or g.shape != keep.shape or keep.sum() * len(points) <= 3:
                return False
            right = truth[j][keep]
            if np.abs(g[keep] - right).max() > tolerance * np.abs(right).max():
                return False
        return True

    pairs = [(i, j) for i in range(len(kept)) for j in range(len(kept)) if i != j and holds(i, j)]
    return {i: Finding(("swapped",), 1.0, 0.0) for i, j in pairs if (j, i) in pairs and not holds(i, i)}
