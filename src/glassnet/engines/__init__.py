"""Engines by name, imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import cast

from glassnet.engines.contract import AddUp, Engine, Fused, FusingEngine, Job, Standing
from glassnet.engines.notices import say_once
from glassnet.errors import choose

__all__ = ["ENGINES", "AddUp", "Engine", "Fused", "Job", "Standing", "fusing", "get_engine", "say_once"]


def _reference() -> Engine:
    from glassnet.engines.reference import ReferenceEngine

    return ReferenceEngine()


def _compiled() -> Engine:
    if find_spec("numba") is None:
        say_once("Numba is not installed: training runs on NumPy, several times slower (pip install numba).")
        return _reference()
    from glassnet.engines.compiled import CompiledEngine

    return CompiledEngine()


def _automatic() -> Engine:
    from glassnet.engines.automatic import AutomaticEngine

    return AutomaticEngine()


ENGINES: Mapping[str, Callable[[], Engine]] = {"auto": _automatic, "numpy": _reference, "numba": _compiled}
"""Name -> how to get the engine. "auto" takes the one that is expected to be the faster for a run."""


@cache
def get_engine(name: str) -> Engine:
    """Return the engine of that name; raises GlassnetError for an unknown one.

    >>> get_engine("numpy").name
    'numpy'
    """
    return choose("engine", name, ENGINES)()


def fusing(engine: Engine) -> FusingEngine | None:
    """Return the engine as one with a loop of its own, or None."""
    return cast(FusingEngine, engine) if hasattr(engine, "fuse") else None
