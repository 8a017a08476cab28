"""What went wrong: expected, received, remedy.

Every error that glassnet raises on purpose is a `GlassnetError` and reads like one sentence of advice:

    X must be (m, 64), received (64,). One row? Use X[None, :].

It is also a `ValueError` (or a `TypeError`), so that code written for other libraries keeps working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

__all__ = ["ELSEWHERE", "GlassnetError", "GlassnetTypeError", "choose", "fault", "nearest", "type_fault"]

T = TypeVar("T")


class GlassnetError(ValueError):
    """An input that cannot be right, said in one line: expected, received, remedy."""


class GlassnetTypeError(GlassnetError, TypeError):
    """The same for an input of the wrong kind."""


LONGEST = 800
"""Longer values are shown by their two ends."""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 4 :]}"


def _sentence(subject: str, expected: str, received: object, remedy: str) -> str:
    text = f"{_short(subject)} must be {_short(expected)}, received {_short(received)}."
    return f"{text} {remedy}" if remedy else text


def fault(subject: str, expected: str, received: object, remedy: str = "") -> GlassnetError:
    """Return (do not raise) the error "`subject` must be `expected`, received `received`. `remedy`".

    >>> raise fault("batch_size", "at least 1", -3, "Leave it out for batches of 32.")
    Traceback (most recent call last):
    glassnet.errors.GlassnetError: batch_size must be at least 1, received -3. Leave it out for batches of 32.
    """
    return GlassnetError(_sentence(subject, expected, received, remedy))


def type_fault(subject: str, expected: str, received: object, remedy: str = "") -> GlassnetTypeError:
    """Return the same sentence as a `GlassnetTypeError`: the value is of the wrong kind altogether."""
    return GlassnetTypeError(_sentence(subject, expected, received, remedy))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like `name`, or None where none looks like it.

    >>> nearest("rleu", ["relu", "tanh"])
    'relu'
    """
    found = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


ELSEWHERE = {
    "bce": "binary_cross_entropy", "log_loss": "binary_cross_entropy", "ce": "cross_entropy", "nll": "cross_entropy",
    "mse": "squared_error", "rmse": "squared_error", "l2": "squared_error", "mae": "absolute_error",
    "l1": "absolute_error", "pinball": "quantile", "smooth_l1": "huber", "linear": "identity", "logistic": "sigmoid",
    "swish": "silu", "xavier": "glorot_uniform", "kaiming": "he_normal", "he": "he_normal", "gd": "sgd",
    "momentum": "sgd", "l-bfgs": "lbfgs", "l-bfgs-b": "lbfgs", "levenberg-marquardt": "lm",
}  # fmt: skip
"""What other libraries and books call things. Asked for by such a name, they are named in the answer, not taken."""


def _meant(name: str, table: Iterable[str]) -> str | None:
    known = list(table)
    elsewhere = ELSEWHERE.get(name.lower())
    return elsewhere if elsewhere in known else nearest(name, known)


def choose(kind: str, name: object, table: Mapping[str, T]) -> T:
    """Look `name` up in `table`; an unknown name is answered with what was likely meant and with all of them.

    >>> choose("activation", "rleu", {"relu": 1, "tanh": 2})
    Traceback (most recent call last):
    glassnet.errors.GlassnetError: unknown activation 'rleu': did you mean 'relu'? Known: relu, tanh.
    """
    if isinstance(name, str) and name in table:
        return table[name]
    guess = _meant(name, table) if isinstance(name, str) and len(name) <= LONGEST else None
    hint = f"did you mean {guess!r}? " if guess else ""
    known = " ".join(", ".join(table).split())  # names from files may hold line breaks
    raise GlassnetError(f"unknown {kind} {_short(repr(name))}: {hint}Known: {known}.")
