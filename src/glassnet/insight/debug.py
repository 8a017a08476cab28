"""What is wrong with my gradients? Backpropagation that you wrote, in any style, judged array by array.

    measured   dJ/dtheta_i by central differences of YOUR loss
    named      by hypotheses that are tried in numbers: a factor, a sign, a transpose, a penalty; and, where a dense
               network of these shapes reproduces your loss, what each known mistake would give there

Nothing is read from your source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from glassnet.arrays import Array, check_count, generator
from glassnet.errors import fault, type_fault
from glassnet.insight.chains import layouts
from glassnet.insight.differences import COARSE, Measured, choose_entries, measure, noise_of
from glassnet.insight.factors import Known
from glassnet.insight.foreign import Foreign, Form, Problem, Unusable, check_function, form_of
from glassnet.insight.judging import Finding, Point, exchanged, judge_by_network, judge_by_numbers, right_gradients
from glassnet.insight.mending import network_in_words
from glassnet.insight.rebuilding import Rebuilt, Terms, rebuild, refit
from glassnet.insight.samples import Samples, find_samples, pairing_matters
from glassnet.insight.shaping import shaped
from glassnet.insight.verdicts import GradientDiagnosis
from glassnet.insight.wording import Case, root, verdict

__all__ = ["debug_gradients"]

TRIALS = 9
"""Points at which the loss must be reproduced before a network counts as recognised."""


UNPAIRED = Problem(
    "unpaired",
    "The loss does not change when the targets are dealt out to other samples: outputs (m, 1) less targets (m,) become "
    "(m, m), each output with every target.",
    "Give both one shape: `y = y.reshape(-1, 1)`, or `out.ravel()`.",
)


@dataclass(frozen=True)
class Study:
    """All that is asked of the function: where, on which data, and how much rounding shakes its loss."""

    foreign: Foreign
    data: Sequence[Any]
    samples: Samples | None
    points: tuple[Point, ...]
    noise: float


@dataclass(frozen=True)
class Right:
    """The right gradients `truths` (by point and array, NaN: not known), and the differences at the first point.

    `net` is the network that they come from, with its `terms` at each point; None: they are differences.
    """

    net: Rebuilt | None
    terms: Sequence[Terms]
    truths: Sequence[Sequence[Array]]
    measured: Sequence[Measured]


def debug_gradients(
    loss_and_grads: Callable[..., Any] | tuple[Callable[..., Any], Callable[..., Any]],
    params: Any,
    *data: Any,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    tolerance: float = 1e-5,
    max_entries: int = 40,
    max_rows: int = 64,
    rng: int = 0,
) -> GradientDiagnosis:
    """Compare the gradients of your own function with measured ones, and name the fault of each array.

    loss_and_grads   `f(params, *data) -> (loss, grads)`, or a pair of functions `(loss, grads)`
    params           arrays in a dictionary, list or tuple (nested as you like), or one flat vector
    data             what the function takes besides: X, y, strengths of penalties, ...; samples in rows or columns
    shapes           for a flat vector: {"W1": (3, 4), ...}, the arrays in it; found by testing where it can be
    tolerance        the error, relative to the largest entry of an array, up to which it is right
    max_entries      entries of each array that are measured: all of a small one, else a choice drawn from `rng`
    max_rows         samples that are used at most, drawn from `rng`

    The derivatives are central differences (J(t + h) - J(t - h)) / 2h with h chosen by extrapolation; entries at a kink
    (ReLU at z = 0) are left out. Faults are found at three points: yours, one near it, and one with fewer samples.

    A function that raises, is random, changes its arguments or returns something else is named in `problems`.
    Raises GlassnetError where `loss_and_grads` is no function, `params` holds no numbers, or `shapes` do not fit.

    >>> X, y = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]), np.array([1.0, 0.0, 2.0])
    >>> def line(p, X, y):                                      # the loss is a mean, the gradient a sum
    ...     r = X @ p["w"] + p["b"] - y
    ...     return (r @ r) / (2 * len(y)), {"w": X.T @ r, "b": r.sum()}
    >>> report = debug_gradients(line, {"w": np.array([0.1, 0.2]), "b": 0.3}, X, y)
    >>> report.verdicts["w"].code, report.ok
    ('missing_1_over_m', False)
    """
    pair = isinstance(loss_and_grads, tuple | list)
    functions = tuple(loss_and_grads) if isinstance(loss_and_grads, tuple | list) else (loss_and_grads,)
    if not all(callable(f) for f in functions) or len(functions) != 1 + pair:
        raise type_fault("loss_and_grads", "a function or a pair of functions (loss, grads)", repr(loss_and_grads)[:80])
    for name, count in (("max_entries", max_entries), ("max_rows", max_rows)):
        check_count(name, count, 2)
    if not 0 < tolerance < 1:
        raise fault("tolerance", "between 0 and 1", tolerance)
    form = form_of(params, shapes)
    foreign = Foreign(functions[0], functions[1] if pair else None, form)
    draw = generator(rng)
    try:
        _, problems = check_function(foreign, data)
        foreign = replace(foreign, guarded=any(p.code == "changes_data" for p in problems))
        return _diagnose(foreign, data, tuple(problems), tolerance, max_entries, max_rows, draw)
    except Unusable as stop:
        return GradientDiagnosis({}, (stop.problem,), "", "")


def _diagnose(
    foreign: Foreign, data: Sequence[Any], problems: tuple[Problem, ...], tolerance: float, max_entries: int,
    max_rows: int, rng: np.random.Generator,
) -> GradientDiagnosis:  # fmt: skip
    near = _near(foreign.form.arrays, rng)
    samples = find_samples(lambda d: _try(lambda: foreign.loss(near, d)), data)
    if samples is not None and not pairing_matters(lambda d: _try(lambda: foreign.loss(near, d)), data, samples):
        problems = (*problems, UNPAIRED)
    notes = [] if data else ["No data were passed. Pass them after the parameters, and more faults have names."]
    if samples is not None and samples.m > max_rows:
        rows = np.sort(rng.choice(samples.m, max_rows, replace=False))
        notes.append(f"Of {samples.m} samples {max_rows} were used, drawn at random.")
        data, samples = samples.take(data, rows), replace(samples, m=max_rows)
    starts = (foreign.form.arrays, near, *(_near(near, rng) for _ in range(3)))  # in some all units may be dead
    noise = max(_noise(foreign, data, start, near) for start in starts)
    net, foreign = _recognise(foreign, data, samples, noise, rng)
    study = _study(foreign, data, samples, near, noise, rng)
    right = _right(study, net, max_entries, rng)
    if noise > COARSE * abs(study.points[0].loss):
        least = 1e-4 if right.net is not None else min(0.05, 20 * _relative_error(right.measured))
        tolerance = max(tolerance, least)
        notes.append(
            f"Rounding shakes the loss by {noise:.0e}, as in single precision: errors up to {tolerance:.0e} of an "
            "array's largest entry are let pass. In float64 they could be seen."
        )
    return _report(study, right, problems, notes, tolerance)


def _right(study: Study, net: Rebuilt | None, max_entries: int, rng: np.random.Generator) -> Right:
    """Return the right gradients at each point: those of the network where it agrees with differences, or these."""
    first = study.points[0]
    kept = [choose_entries(g, a.size, max_entries, rng) for g, a in zip(first.grads, first.arrays, strict=True)]
    measured = _measured(study, first, kept)
    if net is not None:
        terms = [_terms(study, net, point, rng) or net.terms for point in study.points]
        truths = [_by_place(right_gradients(net, t, p), p) for t, p in zip(terms, study.points, strict=True)]
        if _agree(truths[0], measured):
            return Right(net, terms, truths, measured)
    truths = [_spread(measured, first), *(_spread(_measured(study, p, kept), p) for p in study.points[1:])]
    return Right(None, [], truths, measured)


def _report(
    study: Study, right: Right, problems: tuple[Problem, ...], notes: Sequence[str], tolerance: float
) -> GradientDiagnosis:
    """Judge each array, and say it."""
    net, truths, samples, names = right.net, right.truths, study.samples, study.foreign.form.names
    known = Known(
        samples.m if samples else 0, net.n_outputs if net else _outputs(study.data, samples),
        tuple(float(d) for d in study.data if isinstance(d, float | np.floating)),
        len({p.m for p in study.points}) > 1,
    )  # fmt: skip
    shapes = shaped(study.points, truths, samples)
    points = shapes.points
    found: dict[int, Finding] = {}
    if net is not None:
        found = judge_by_network(net, right.terms, points, known, tolerance)
    masks = [np.isfinite(np.sum([truth[j] for truth in truths], axis=0)) for j in range(len(names))]
    by_numbers = judge_by_numbers(points, truths, masks, known, tolerance)
    found |= {j: f for j, f in by_numbers.items() if j not in found or f.cost < found[j].cost}
    found |= exchanged(points, truths, masks, tolerance)
    received = [None if g is None else g.shape for g in study.points[0].grads]
    case = Case(names, points, truths, right.measured, shapes, found, net, known.m, tolerance, received)
    verdicts = {name: verdict(case, j) for j, name in enumerate(names)}
    text = "" if net is None else network_in_words(net, names, known.m or 1, net.sizes(points[0].arrays))
    return GradientDiagnosis(verdicts, problems, text, root(case, verdicts), tuple(notes))


def _try(compute: Callable[[], float]) -> float | None:
    """Return a loss, or None where the function fails there."""
    try:
        return compute()
    except Unusable:
        return None


def _noise(foreign: Foreign, data: Sequence[Any], start: Sequence[Array], near: Sequence[Array]) -> float:
    """Return how much rounding shakes the loss at `start`, seen along a direction in general position."""
    way = [a - b + 0.1 * np.sign(a) for a, b in zip(near, foreign.form.arrays, strict=True)]
    return noise_of(lambda t: foreign.loss([a + t * d for a, d in zip(start, way, strict=True)], data))


def _near(arrays: Sequence[Array], rng: np.random.Generator) -> tuple[Array, ...]:
    """Return parameters near these, but in general position: no zeros, no symmetries."""
    found = []
    for array in arrays:
        size = float(np.sqrt(np.mean(array**2))) if array.size else 0.0
        least = 0.3 / np.sqrt(max(array.shape[0] if array.ndim == 2 else 1, 1))
        found.append(array + rng.normal(size=array.shape) * max(0.3 * size, 0.3 * least if size else least))
    return tuple(found)


def _recognise(
    foreign: Foreign, data: Sequence[Any], samples: Samples | None, noise: float, rng: np.random.Generator
) -> tuple[Rebuilt | None, Foreign]:
    """Return the network that reproduces the loss, and the function with a flat vector cut into its arrays."""
    axis = None if samples is None else samples.axis
    arrays = foreign.form.arrays
    tries = [_near([factor * a for a in arrays], rng) for factor in np.linspace(0.3, 1.0, TRIALS)]
    J = [_try(lambda t=t: foreign.loss(t, data)) for t in tries]  # type: ignore[misc]
    trials = [t for t, j in zip(tries, J, strict=True) if j is not None]
    losses = np.array([j for j in J if j is not None])
    if len(trials) < 7:
        return None, foreign
    net = rebuild(trials, losses, data, axis, noise)
    if net is not None or len(arrays) > 1 or np.squeeze(arrays[0]).ndim != 1:
        return net, foreign
    for form in _cuts(foreign.form, data, samples):
        cut = [replace(form, arrays=(t[0],)).cut(dict(zip(form.names, map(np.shape, form.arrays), strict=True))).arrays
               for t in trials]  # fmt: skip
        net = rebuild(cut, losses, data, axis, noise, thorough=False)
        if net is not None:
            return net, replace(foreign, form=form)
    return None, foreign


def _cuts(form: Form, data: Sequence[Any], samples: Samples | None) -> list[Form]:
    """Return the ways to cut a flat vector into layers, where X and the number of outputs are plain from the data."""
    arrays = [np.asarray(d) for d in data if isinstance(d, np.ndarray | list | tuple)]
    if samples is None or len(arrays) < 2 or arrays[0].ndim != 2:
        return []
    d = arrays[0].shape[1 if samples.axis == 0 else 0]
    outputs = {arrays[1].size // samples.m}
    if arrays[1].size == samples.m and np.array_equal(arrays[1], np.round(arrays[1])):
        outputs.add(int(arrays[1].max()) + 1)
    return [form.cut(shapes) for k in sorted(outputs) for shapes in layouts(form.arrays[0].size, d, k)][:40]


def _study(
    foreign: Foreign, data: Sequence[Any], samples: Samples | None, near: Sequence[Array], noise: float,
    rng: np.random.Generator,
) -> Study:  # fmt: skip
    """Ask for gradients at three points: the given one, one near it, and one with fewer samples."""
    form, m = foreign.form, samples.m if samples else 1
    places: list[tuple[tuple[Array, ...], Sequence[Any], int]] = [(form.arrays, data, m)]
    places += [(_near(form.arrays, rng), data, m)]
    if samples is not None and samples.m > 3:
        rows = np.arange(max(2, (2 * samples.m) // 3))
        places.append((_near(form.arrays, rng), samples.take(data, rows), len(rows)))
    else:
        places.append((_near(form.arrays, rng), data, m))
    points = []
    for i, (arrays, own, count) in enumerate(places):
        try:
            evaluation = foreign.both(arrays, own)
        except Unusable:
            if i == 0:
                raise
            continue
        points.append(Point(arrays, own, count, evaluation.grads, evaluation.loss))
    return Study(foreign, data, samples, tuple(points), noise)


def _measured(study: Study, point: Point, kept: Sequence[Array]) -> list[Measured]:
    found, floor = [], 0.0
    for j, entries in enumerate(kept):
        found.append(
            measure(
                lambda a: study.foreign.loss(a, point.data), point.arrays, j, entries, point.loss, study.noise, floor
            )
        )
        floor = max(floor, 1e-3 * float(np.abs(found[-1].value).max(initial=0.0)))
    return found


def _spread(measured: Sequence[Measured], point: Point) -> list[Array]:
    """Return measured derivatives in the arrays' shapes, NaN where there are none."""
    found = []
    for array, own in zip(point.arrays, measured, strict=True):
        full = np.full(array.size, np.nan)
        good = ~own.at_kink & (own.error <= 1e-4 * np.maximum(np.abs(own.value), np.abs(own.value).max(initial=0.0)))
        full[own.entries[good]] = own.value[good]
        found.append(full.reshape(array.shape))
    return found


def _relative_error(measured: Sequence[Measured]) -> float:
    """Return the largest error of a difference, relative to the largest difference of its array."""
    everything = max((float(np.abs(own.value).max(initial=0.0)) for own in measured), default=0.0)
    tops = [max(float(np.abs(own.value).max(initial=0.0)), 1e-3 * everything, 1e-300) for own in measured]
    return max(float(own.error.max(initial=0.0)) / top for own, top in zip(measured, tops, strict=True))


def _by_place(gradients: Mapping[int, Array], point: Point) -> list[Array]:
    return [gradients.get(j, np.full(array.shape, np.nan)) for j, array in enumerate(point.arrays)]


def _agree(truth: Sequence[Array], measured: Sequence[Measured]) -> bool:
    """Whether the recognised network's gradient is the measured one, kinks and rounding left aside."""
    top = max(float(np.abs(own.value).max(initial=0.0)) for own in measured)
    for array, own in zip(truth, measured, strict=True):
        miss = np.abs(array.ravel()[own.entries] - own.value)
        if not (own.at_kink | (miss <= 1e-5 * max(top, 1e-300) + 30 * own.error)).all():
            return False
    return True


def _terms(study: Study, net: Rebuilt, point: Point, rng: np.random.Generator) -> Terms | None:
    """Return the coefficients of the loss on the data of a point."""
    if point.m == study.points[0].m:
        return net.terms
    trials = [_near([factor * a for a in point.arrays], rng) for factor in np.linspace(0.3, 1.0, TRIALS)]
    J = np.array([study.foreign.loss(t, point.data) for t in trials])
    return refit(net, trials, J, point.data, study.noise)


def _outputs(data: Sequence[Any], samples: Samples | None) -> int:
    arrays = [np.asarray(d) for d in data if isinstance(d, np.ndarray)]
    if samples is None or len(arrays) < 2 or arrays[1].ndim != 2:
        return 0
    return arrays[1].size // max(samples.m, 1)
