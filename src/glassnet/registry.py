"""Names with options: how "huber", huber(delta=2.0) and {"name": "huber", "delta": 2.0} become the same record.

An activation, a loss and an initializer are frozen records with a `name` and `options`. Each kind keeps one table,
name -> maker, that serves Python, the command line, model files and error messages alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from glassnet.errors import GlassnetError, choose, fault, type_fault

__all__ = ["Named", "Spec", "fixed", "make", "non_default", "reduced", "remembered", "spec_of"]

Spec = str | dict[str, object]
"""What a record looks like in JSON: its name, or a mapping with its name and its options."""


class Named(Protocol):
    """A record that can be found again by its name and options."""

    @property
    def name(self) -> str:
        """The name in the table."""

    @property
    def options(self) -> tuple[tuple[str, float], ...]:
        """The options that differ from nothing: (("delta", 2.0),)."""


R = TypeVar("R", bound=Named)
P = ParamSpec("P")


def remembered(maker: Callable[P, R]) -> Callable[P, R]:
    """Let `maker` build each record once, so that huber(2.0) and huber(delta=2.0) are equal: they are the same."""
    built: dict[tuple[object, ...], R] = {}
    form = signature(maker)

    @wraps(maker)
    def make_once(*args: P.args, **kwargs: P.kwargs) -> R:
        call = form.bind(*args, **kwargs)
        call.apply_defaults()
        key = tuple(call.arguments.values())
        if key not in built:
            built[key] = maker(*args, **kwargs)
        return built[key]

    return make_once


def make(kind: str, table: Mapping[str, Callable[..., R]], spec: str | Mapping[str, object]) -> R:
    """Build the record that `spec` names: "huber" or {"name": "huber", "delta": 2.0}.

    Raises GlassnetError for an unknown name (with the nearest one) and for options that the record does not have.
    """
    if isinstance(spec, str):
        return choose(kind, spec, table)()
    if not isinstance(spec, Mapping):
        raise type_fault(kind, "a name, a record or a pair of functions", repr(spec))
    if "name" not in spec:
        raise fault(f"{kind} as a dictionary", 'one with a "name"', dict(spec), f"Known: {', '.join(table)}.")
    options = {key: value for key, value in spec.items() if key != "name"}
    maker = choose(kind, spec["name"], table)
    try:
        return maker(**options)
    except TypeError as error:
        raise GlassnetError(f"{kind} {spec.get('name')!r} does not take {options}: {error}.") from error


def fixed(record: R) -> Callable[[], R]:
    """Return the maker of a record without options."""
    return lambda: record


def non_default(**options: tuple[float, float]) -> tuple[tuple[str, float], ...]:
    """Return the options whose value differs from the default, from name=(value, default).

    >>> non_default(delta=(2.0, 1.0), q=(0.5, 0.5))
    (('delta', 2.0),)
    """
    return tuple((name, float(value)) for name, (value, default) in options.items() if value != default)


def reduced(record: R, get: Callable[[Spec], R], table: Mapping[str, Callable[..., R]]) -> tuple[object, ...]:
    """Say how to copy and pickle a record: by name and options where that gives the same, else field by field."""
    spec = _spec(record)
    try:
        known = record.name in table and get(spec) == record
    except GlassnetError:  # your own, under a known name
        known = False
    if known:
        return get, (spec,)
    return type(record), tuple(getattr(record, field.name) for field in fields(cast("Any", record)))


def spec_of(kind: str, table: Mapping[str, Callable[..., R]], record: R) -> Spec:
    """Return the JSON form of `record`; a record of the user's own has none, and that is said."""
    if record.name not in table or make(kind, table, _spec(record)) != record:
        raise GlassnetError(
            f"{kind} {record.name!r} is your own and cannot be written to a file: "
            f"only the named ones can ({', '.join(table)})."
        )
    return _spec(record)


def _spec(record: Named) -> Spec:
    return cast(Spec, {"name": record.name, **dict(record.options)}) if record.options else record.name
