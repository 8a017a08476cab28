"""From a formula written for NumPy arrays to the same formula compiled for one number.

`scalar(f, dtype)` is the function f with the same code in other surroundings: under the name `np` it finds the
functions of `elementary.py`, its numbers are of the dtype (as NumPy treats them: `1.0 - a` of a float32 is a float32),
and the functions that it calls are compiled in the same way. A formula has one home; nothing is written twice.

A kernel refers to a formula by its `fingerprint`, a text that changes with the code, so that a kernel that was compiled
by another process can be taken from the disk, and never stands for a formula that has changed since.
"""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Callable
from functools import cache, lru_cache
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba import njit, types
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.extending import overload

from glassnet import activations
from glassnet.engines.elementary import FLAGS, namespace
from glassnet.engines.storage import digest

__all__ = ["Unlike", "apply", "fingerprint", "first_line", "looks_at", "register"]


class Unlike(Exception):
    """A function that is another one when it sees single numbers."""


STAND_INS = {activations.step: "step", activations.half_log_max: "half_log_max"}
"""Helpers that ask an array for its dtype -> their forms for one number, in `namespace`."""

_registered: dict[str, Any] = {}
"""Fingerprint -> compiled formula, for kernels that are still to be compiled."""


def scalar(function: Callable[..., Any], dtype: type) -> Any:
    """Return `function` compiled for numbers of `dtype`."""
    return _scalar(function, dtype, {})


def _scalar(function: Any, dtype: type, done: dict[object, Any]) -> Any:
    if function in STAND_INS:
        return getattr(namespace(dtype), STAND_INS[function])
    if isinstance(function, np.ufunc):
        known = getattr(namespace(dtype), function.__name__, None)
        if known is None:
            raise Unlike(f"{function.__name__} is compiled code of another library")
        return known
    if not isinstance(function, FunctionType):
        return function
    if function not in done:
        code = function.__code__
        names = {
            name: _surrounding(function.__globals__[name], dtype, done)
            for name in _names(code)
            if name in function.__globals__
        }
        defaults = tuple(_surrounding(value, dtype, done) for value in function.__defaults__ or ()) or None
        names["__name__"] = __name__  # where compiled code that comes back from the disk looks for its surroundings
        cells = tuple(CellType(_surrounding(cell.cell_contents, dtype, done)) for cell in function.__closure__ or ())
        moved = FunctionType(_with_numbers(code, dtype), names, function.__name__, defaults, cells)
        done[function] = njit(moved, error_model="numpy", fastmath=FLAGS, forceinline=True, no_cfunc_wrapper=True)
    return done[function]


def _surrounding(value: Any, dtype: Any, done: dict[object, Any]) -> Any:
    if value is np:
        return namespace(dtype)
    if isinstance(value, float):
        return dtype(value)
    return _scalar(value, dtype, done) if isinstance(value, FunctionType) else value


@cache
def _names(code: CodeType) -> frozenset[str]:
    """Return the global names that the code looks up."""
    return frozenset(step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")


def _with_numbers(code: CodeType, dtype: Any) -> CodeType:
    return code.replace(co_consts=tuple(dtype(c) if isinstance(c, float) else c for c in code.co_consts))


def looks_at(function: Callable[..., Any], argument: int) -> bool:
    """Whether the function reads that argument: the derivative of tanh, 1 - a^2, takes (z, a) and looks at a alone."""
    return not isinstance(function, FunctionType) or _reads(function.__code__, argument)


@cache
def _reads(code: CodeType, argument: int) -> bool:
    name = code.co_varnames[argument]
    return any(
        name in (step.argval if isinstance(step.argval, tuple) else (step.argval,))  # some instructions take two
        for step in dis.get_instructions(code)
    )


# ---- formulas by fingerprint --------------------------------------------------------------------------------------


def register(function: Callable[..., Any], dtype: type, *, single: bool = True) -> str:
    """Return the fingerprint of a formula; from now on, `apply(fingerprint, ...)` stands for it in kernels.

    `single` says that it takes single numbers (a rule's formula takes tuples of them), and can be tried on some.
    """
    if not isinstance(function, FunctionType | np.ufunc):
        raise Unlike(f"{function!r} is no plain function")
    key = f"{_name(function)}.{np.dtype(dtype).name}.{fingerprint(function)}"
    if key not in _registered:
        compiled = scalar(function, dtype)
        if single and not _is_ours(function):
            try:
                check_alike(function, compiled, dtype)
            except (NumbaError, UnsupportedBytecodeError, AttributeError, ValueError, TypeError) as error:
                raise Unlike(f"{_name(function)}: {first_line(error)}") from error
        _registered[key] = compiled
    return key


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", getattr(function, "__name__", "function")))


def first_line(error: Exception) -> str:
    """Return the line of Numba's report that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.startswith("Failed in")), type(error).__name__)


def check_alike(function: Callable[..., Any], compiled: Any, dtype: Any) -> None:
    """Raise `Unlike` where a function of your own does for single numbers what it does not do for arrays.

    A function that sums over a row, say, or that looks at a shape, cannot be applied number by number.
    """
    rng = np.random.default_rng(0)
    arity = function.nin if isinstance(function, np.ufunc) else function.__code__.co_argcount
    arity -= len(getattr(function, "__defaults__", None) or ())
    for low, high in ((0.05, 0.95), *([(-3.0, 3.0)] if arity <= 2 else [])):
        arguments = rng.uniform(low, high, (arity, 4, 8)).astype(dtype)
        with np.errstate(all="ignore"):  # only the two forms are compared
            single = [compiled(*numbers) for numbers in zip(*(x.ravel() for x in arguments), strict=True)]
            whole = np.asarray(function(*arguments))
        close = whole.shape == (4, 8) and np.allclose(whole.ravel(), single, rtol=1e-3, atol=1e-5, equal_nan=True)
        if not close:
            raise Unlike(f"{_name(function)} gives other values for single numbers than for arrays")


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a text that changes with the formula, the numbers it holds, and the code of this engine."""
    return _lasting(function) if _is_ours(function) else _fingerprint(function)


def _is_ours(function: Any) -> bool:
    return (getattr(function, "__module__", "") or "").startswith("glassnet.")


@lru_cache(1024)
def _lasting(function: Callable[..., Any]) -> str:
    """The fingerprint of a formula of this library, whose surroundings stay as they are."""
    return _fingerprint(function)


def _fingerprint(function: Callable[..., Any]) -> str:
    result = hashlib.sha256(digest().encode())
    _digest(function, result, set())
    return result.hexdigest()[:16]


def _digest(value: Any, result: Any, seen: set[int]) -> None:
    if isinstance(value, FunctionType) and value in STAND_INS:
        result.update(STAND_INS[value].encode())
    elif isinstance(value, np.ndarray):
        _put(result, value.dtype, value.shape, value.tobytes())
    elif not isinstance(value, FunctionType):
        _put(result, value.__name__ if isinstance(value, ModuleType) else value)
    elif id(value) not in seen:
        seen.add(id(value))
        _digest_code(value.__code__, result)
        for default in value.__defaults__ or ():
            _digest(default, result, seen)
        _put(result, value.__kwdefaults__)
        for cell in value.__closure__ or ():
            _digest(cell.cell_contents, result, seen)
        for name in sorted(_names(value.__code__) & set(value.__globals__)):
            _digest(value.__globals__[name], result, seen)


def _digest_code(code: CodeType, result: Any) -> None:
    _put(result, code.co_code, code.co_names, code.co_argcount, code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _digest_code(constant, result)
        else:
            _put(result, constant)


def _put(result: Any, *values: object) -> None:
    """Add each value, and where it ends."""
    for value in values:
        text = repr(value).encode()
        result.update(len(text).to_bytes(8, "little") + text)


def apply(key: str, *arguments: Any) -> Any:
    """Evaluate the formula of that fingerprint: compiled code only."""
    raise NotImplementedError("formulas are applied in compiled code")


@overload(apply, prefer_literal=True, jit_options={"forceinline": True})  # a call in a loop: it is not vectorised
def _apply(key: Any, *arguments: Any) -> Any:
    if not isinstance(key, types.StringLiteral):
        return None
    formula = _registered[key.literal_value]
    if any(isinstance(argument, types.BaseTuple) for argument in arguments):  # a rule's: step and new slots

        def evaluate(key: Any, *arguments: Any) -> Any:
            return formula(*arguments)

        return evaluate
    T = np.float32 if types.float32 in arguments else np.float64

    def evaluate_number(key: Any, *arguments: Any) -> Any:
        return T(formula(*arguments))  # where a whole number has made a float64 of it

    return evaluate_number
