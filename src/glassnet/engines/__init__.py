"""Engines by name, imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from glassnet.engines.contract import Engine
from glassnet.errors import choose

__all__ = ["ENGINES", "Engine", "get_engine"]


def _reference() -> Engine:
    from glassnet.engines.reference import ReferenceEngine

    return ReferenceEngine()


ENGINES: Mapping[str, Callable[[], Engine]] = {"auto": _reference, "numpy": _reference}
"""Name -> how to get the engine. "auto" takes the fastest one there is."""


@cache
def get_engine(name: str) -> Engine:
    """Return the engine of that name; raises GlassnetError for an unknown one.

    >>> get_engine("numpy").name
    'numpy'
    """
    return choose("engine", name, ENGINES)()
