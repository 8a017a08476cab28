"""A function that somebody else wrote: how it takes its parameters, what it gives back, and whether it can be trusted.

Parameters are a dictionary, a list, a tuple (nested as you like) or one flat vector; inside they are a list of float64
arrays. Faults of the function are records (`Problem`), carried by `Unusable` where nothing can be computed from it.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault, type_fault

__all__ = ["Evaluation", "Foreign", "Form", "Problem", "Unusable", "check_function", "form_of"]

RAISED = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, NotImplementedError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
"""What a faulty NumPy program raises; anything else passes through."""

SAME = 1e-10
"""Up to this relative difference two calls count as equal: threads may add in another order."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with the function as a whole: `code`, what it is in `words`, and the `remedy`."""

    code: str
    words: str
    remedy: str


class Unusable(Exception):
    """Nothing can be computed from the function; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.words)
        self.problem = problem


@dataclass(frozen=True)
class Evaluation:
    """One call: the loss and, for each array of parameters, its gradient (None where there is none)."""

    loss: float
    grads: tuple[Array | None, ...]


@dataclass(frozen=True)
class Form:
    """How the user keeps parameters: `names` and `arrays` (float64) in order, and the `template` to put them back.

    `split` tells that the template is one flat vector that holds the arrays one after the other.
    """

    template: Any
    names: tuple[str, ...]
    arrays: tuple[Array, ...]
    split: bool = False

    def pack(self, arrays: Sequence[Array]) -> Any:
        """Return fresh parameters in the user's own form."""
        if self.split:
            return np.concatenate([array.ravel() for array in arrays]).reshape(np.shape(self.template))
        return _rebuild(self.template, iter(arrays))

    def cut(self, shapes: Mapping[str, tuple[int, ...]]) -> Form:
        """Return the form of a flat vector that holds arrays of these shapes one after the other."""
        return Form(self.template, tuple(shapes), _cut(self.arrays[0], list(shapes.values())), split=True)


def _cut(vector: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(vector.ravel(), ends[:-1])
    return tuple(part.reshape(shape).copy() for part, shape in zip(parts, shapes, strict=True))


def form_of(params: Any, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Form:
    """Return the form of `params`; raises GlassnetError where there are no arrays of numbers in it."""
    found = list(_leaves(params))
    if not found:
        raise type_fault("params", "arrays in a dictionary, list, tuple or one vector", repr(params)[:80])
    names, arrays = zip(*((name, np.array(leaf, dtype=np.float64)) for name, leaf in found), strict=True)
    if not all(np.isfinite(array).all() for array in arrays):
        raise fault("params", "finite", "NaN or infinity", "Start from fresh random weights.")
    form = Form(params, names, arrays)
    if shapes is None:
        return form
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    if len(arrays) != 1 or arrays[0].size != total:
        sizes = " + ".join(str(array.size) for array in arrays)
        raise fault("shapes", f"shapes of a flat vector of {sizes} numbers", f"shapes of {total} numbers")
    return form.cut(shapes)


def _is_list(tree: Any) -> bool:
    return isinstance(tree, list | tuple) or (isinstance(tree, np.ndarray) and tree.dtype == object)


def _is_leaf(tree: Any) -> bool:
    if isinstance(tree, np.ndarray):
        return tree.dtype.kind in "fiub"
    if isinstance(tree, bool | int) or tree is None:
        return False
    numbers = isinstance(tree, list | tuple) and bool(tree) and all(isinstance(x, float | int) for x in tree)
    return isinstance(tree, float | np.floating) or numbers


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if _is_leaf(tree):
        yield name or "theta", tree
    elif isinstance(tree, Mapping):
        for key, branch in tree.items():
            yield from _leaves(branch, f"{name}[{key!r}]" if name else str(key))
    elif _is_list(tree):
        for i, branch in enumerate(tree):
            yield from _leaves(branch, f"{name or 'params'}[{i}]")


def _rebuild(tree: Any, arrays: Iterator[Array]) -> Any:
    if _is_leaf(tree):
        array = next(arrays)
        return float(array) if isinstance(tree, float) else array.copy()
    if isinstance(tree, Mapping):
        return {key: _rebuild(branch, arrays) for key, branch in tree.items()}
    if isinstance(tree, np.ndarray) and tree.dtype == object:
        same = np.empty(tree.shape, dtype=object)
        for i in range(tree.size):
            same.flat[i] = _rebuild(tree.flat[i], arrays)
        return same
    if isinstance(tree, list | tuple):
        branches = [_rebuild(branch, arrays) for branch in tree]
        if hasattr(tree, "_make"):
            return tree._make(branches)
        return branches if isinstance(tree, list) else tuple(branches)
    return tree


@dataclass(frozen=True)
class Foreign:
    """The user's function, or pair of functions, that takes `form.pack(arrays)` and data.

    `guarded` gives it a copy of the data in each call: it changes them.
    """

    value: Callable[..., Any]
    slope: Callable[..., Any] | None
    form: Form
    guarded: bool = False

    def loss(self, arrays: Sequence[Array], data: Sequence[Any]) -> float:
        """Return the loss alone."""
        out = _call(self.value, self.form.pack(arrays), _copies(data) if self.guarded else data)
        return _loss(out if self.slope is not None else _pair(out, len(self.form.arrays))[0])

    def both(self, arrays: Sequence[Array], data: Sequence[Any]) -> Evaluation:
        """Return the loss and the gradients."""
        data = _copies(data) if self.guarded else data
        out = _call(self.value, self.form.pack(arrays), data)
        if self.slope is None:
            loss, grads = _pair(out, len(self.form.arrays))
        else:
            loss, grads = out, _call(self.slope, self.form.pack(arrays), data)
        return Evaluation(_loss(loss), match(self.form, grads))


def _call(function: Callable[..., Any], params: Any, data: Sequence[Any]) -> Any:
    try:
        return function(params, *data)
    except RAISED as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        home = getattr(getattr(function, "__code__", None), "co_filename", None)
        mine = [frame for frame in frames if frame.filename == home] or frames
        where = f", in line {mine[-1].lineno}: {mine[-1].line}" if mine else ""
        shapes = ", ".join(str(np.shape(d)) for d in data)
        problem = Problem(
            "raises",
            f"Your function raised {type(error).__name__}: {error}{where}",
            f"It was called as f(params, *data) with data of shapes {shapes or '(none)'}. Call it so yourself first.",
        )
        raise Unusable(problem) from error


def _pair(out: Any, n_arrays: int) -> tuple[Any, Any]:
    """Return (loss, grads) from what one function returned: a pair, more after it, or (loss, dW1, db1, ...)."""
    if not isinstance(out, tuple | list) or len(out) < 2:
        raise Unusable(
            Problem(
                "not_a_pair",
                f"Your function must return (loss, grads), received {type(out).__name__}.",
                "End it with `return loss, grads`, or pass two functions: debug_gradients((loss, grads), params, ...).",
            )
        )
    if isinstance(out[0], Mapping) or (not _is_one_number(out[0]) and _is_one_number(out[1])):
        raise Unusable(
            Problem("not_a_pair", "Your function returns (grads, loss).", "Turn it round: `return loss, grads`.")
        )
    apart = _count(out[1]) != n_arrays and _count(list(out[1:])) == n_arrays  # loss, dW1, db1, ... or loss, dWs, dbs
    return out[0], (list(out[1:]) if apart else out[1])


def _count(tree: Any) -> int:
    return sum(1 for _ in _leaves_or_none(tree))


def _is_one_number(value: Any) -> bool:
    return isinstance(value, float | int | np.number) or (isinstance(value, np.ndarray) and value.size == 1)


def _loss(loss: Any) -> float:
    if isinstance(loss, Mapping | str) or loss is None or np.size(loss) != 1:
        size = "nothing" if loss is None else f"{type(loss).__name__} of shape {np.shape(loss)}"
        raise Unusable(
            Problem(
                "loss_not_a_number",
                f"The loss must be one number, received {size}.",
                "Add up (or average) over the samples: `loss.mean()`.",
            )
        )
    value = float(np.asarray(loss).ravel()[0])
    if not np.isfinite(value):
        raise Unusable(
            Problem(
                "loss_not_finite",
                f"The loss is {value}.",
                "Look for log(0), 0/0 and exp of large numbers: subtract the row's maximum in softmax, scale the "
                "inputs, and start from smaller weights.",
            )
        )
    return value


def _bare(name: str) -> str:
    """Return a name without what people put before it in gradients: dW1, grad_W1, W1_grad -> w1."""
    inner = re.sub(r"^(nabla|grads?|delta|∂|d|g)_?(?=\w)", "", name)
    return re.sub(r"_?grads?$", "", inner).lower()


def match(form: Form, grads: Any) -> tuple[Array | None, ...]:
    """Return the gradients in the order of the parameters: found by name, or else by place."""
    if (isinstance(grads, Mapping) or _is_list(grads)) and not _is_leaf(grads):
        found = {name: np.asarray(leaf, dtype=np.float64) for name, leaf in _leaves_or_none(grads) if leaf is not None}
        place = [None if leaf is None else found[name] for name, leaf in _leaves_or_none(grads)]
    else:
        leaf = np.asarray(grads)
        if leaf.dtype.kind not in "fiub":
            raise Unusable(
                Problem("wrong_structure", f"The gradients are {type(grads).__name__}.", "Return arrays of numbers.")
            )
        found, place = {"theta": leaf.astype(np.float64)}, [leaf.astype(np.float64)]
    total = sum(array.size for array in form.arrays)
    if len(place) == 1 and place[0] is not None and place[0].size == total and (form.split or len(form.arrays) > 1):
        return _cut(place[0], [array.shape for array in form.arrays])
    bare = {_bare(name): array for name, array in found.items()}
    by_name = [found.get(name, bare.get(_bare(name))) for name in form.names]
    if isinstance(grads, Mapping) and any(array is not None for array in by_name):
        return tuple(by_name)
    if len(place) == len(form.names):
        return tuple(place)
    expected = ", ".join(form.names)
    raise Unusable(
        Problem(
            "wrong_structure",
            f"There must be one gradient for each of {expected}; received {len(place)}: {', '.join(found)}.",
            "Return the gradients in the form of the parameters: same keys, or the same order.",
        )
    )


def _leaves_or_none(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Go through gradients, where whole numbers and None count too: a gradient of 0, or one that was forgotten."""
    if tree is None or isinstance(tree, int) or _is_leaf(tree):
        yield name or "theta", tree
    elif isinstance(tree, Mapping):
        for key, branch in tree.items():
            yield from _leaves_or_none(branch, f"{name}[{key!r}]" if name else str(key))
    elif _is_list(tree):
        for i, branch in enumerate(tree):
            yield from _leaves_or_none(branch, f"{name or 'params'}[{i}]")


def check_function(foreign: Foreign, data: Sequence[Any]) -> tuple[Evaluation, list[Problem]]:
    """Call the function twice on the same numbers; return the first result and what is amiss with the function.

    Raises Unusable where it raises, returns no loss, or is not the same from call to call.
    """
    params, own = foreign.form.pack(foreign.form.arrays), _copies(data)
    before = [leaf.copy() if isinstance(leaf, np.ndarray) else leaf for _, leaf in _leaves(params)]
    out = _call(foreign.value, params, own)
    if foreign.slope is not None:
        out = (out, _call(foreign.slope, params, own))
    problems = []
    if any(not np.array_equal(b, a) for b, (_, a) in zip(before, _leaves(params), strict=True)):
        problems.append(
            Problem(
                "changes_params",
                "Your function changes its parameters in place.",
                "A gradient only looks: write `W = W - rate * dW` outside, or copy first. (The numbers below come from "
                "copies, so they hold.)",
            )
        )
    if any(isinstance(d, np.ndarray) and not np.array_equal(d, a, equal_nan=d.dtype.kind == "f")
           for d, a in zip(data, own, strict=True)):  # fmt: skip
        problems.append(
            Problem(
                "changes_data",
                "Your function changes its data in place.",
                "Write `X = X / 255` instead of `X /= 255`, or copy first. (The numbers below come from copies.)",
            )
        )
    loss, grads = _pair(out, len(foreign.form.arrays))
    first = Evaluation(_loss(loss), match(foreign.form, grads))
    again = foreign.both(foreign.form.arrays, _copies(data))
    _check_same(first, again)
    return first, problems


def _copies(data: Sequence[Any]) -> list[Any]:
    return [d.copy() if isinstance(d, np.ndarray) else d for d in data]


def _check_same(first: Evaluation, again: Evaluation) -> None:
    if abs(first.loss - again.loss) > SAME * max(abs(first.loss), 1e-300):
        raise Unusable(
            Problem(
                "random",
                f"The loss is not the same from call to call: {first.loss:.10g}, then {again.loss:.10g}.",
                "Take randomness out (dropout off, one fixed batch), or draw it from np.random.default_rng(0) made "
                "anew inside the function. A function that changes a variable outside does this too.",
            )
        )
    pairs = [(g, h) for g, h in zip(first.grads, again.grads, strict=True) if g is not None and h is not None]
    pairs = [(g, h) for g, h in pairs if g.shape == h.shape and np.isfinite(g).all() and np.isfinite(h).all()]
    size = max((float(np.abs(g).max(initial=0.0)) for g, _ in pairs), default=0.0)
    if all(np.abs(g - h).max(initial=0.0) <= SAME * size for g, h in pairs):
        return
    moved = [(g, h) for g, h in pairs if np.abs(g - h).max(initial=0.0) > SAME * size]
    if all(np.abs(2.0 * g - h).max() <= 1e-6 * np.abs(h).max() for g, h in moved):
        raise Unusable(
            Problem(
                "accumulates",
                "The gradients add up from call to call: the second call gives twice the first.",
                "Set them to zero at the beginning of each call: `dW = np.zeros_like(W)`.",
            )
        )
    raise Unusable(
        Problem(
            "random",
            "The loss is the same from call to call, the gradients are not.",
            "Take randomness out (one fixed batch, dropout off), and use the same numbers on the way back as forward.",
        )
    )
