"""Where compiled code is kept: on disk beside the source, in the user's cache where that is read-only, else nowhere.

The name under which a function is kept carries a digest of this package, so that a file of another version, whose
tables may mean other things, is never taken for this one's.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from glassnet.engines.notices import say_once

__all__ = ["MAKING", "digest", "is_compiling", "is_kept", "lock", "on_disk", "was_kept"]

MAKING = "Compiling the fast engine, once: some tens of seconds. It is kept on disk, and later runs start at once."
"""What is said before anything is compiled that is not kept yet."""

T = TypeVar("T")
lock = threading.RLock()
"""Held while code is compiled or fetched."""
_compiled_now: list[str] = []
"""The function that is compiled or fetched, while it is."""
if hasattr(os, "register_at_fork"):  # a process that is forked meanwhile would wait for ever for a thread it lacks
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


@cache
def digest() -> str:
    """Return a text that changes with the code of this package."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def on_disk(function: Callable[..., Any], compile_: Callable[[Callable[..., Any], bool], T], dtype: str) -> T:
    """Call `compile_(function, True)`, which keeps its result on disk, or where that cannot be, with False.

    The files of one dtype are not those of another, so that two processes can compile one each.
    """
    function.__qualname__ = f"{function.__name__}_{dtype}_{digest()}"
    try:
        if not _lies_ready(function):
            say_once(MAKING)
        _compiled_now.append(function.__qualname__)
        return compile_(function, True)
    except (RuntimeError, OSError) as error:
        if isinstance(error, RuntimeError) and "cannot cache" not in str(error):
            raise
        say_once(f"Compiled code cannot be kept on disk ({error}); it is compiled again in each process.")
        return compile_(function, False)
    finally:
        _compiled_now.clear()


def is_compiling() -> bool:
    """Whether code is compiled or fetched at this moment, in this process."""
    return bool(_compiled_now)


def _lies_ready(function: Callable[..., Any]) -> bool:
    """Whether code of this function is kept, where Numba keeps it; raises RuntimeError where it can be nowhere.

    Of a function that is made anew for each formula, that of another formula is enough: it takes no time to speak of.
    """
    from numba.core.caching import FunctionCache

    code = function.__code__
    name = f"{Path(code.co_filename).stem}.{function.__qualname__}-{code.co_firstlineno}.*.nbi"
    return any(Path(FunctionCache(function).cache_path).glob(name))


def is_kept() -> bool:
    """Whether compiled code of this version lies beside the source; what lies elsewhere is not looked for."""
    return any((Path(__file__).parent / "__pycache__").glob(f"*_{digest()}-*.nbi"))


@cache
def was_kept() -> bool:
    """Whether any was when this was asked first: to look into the folder takes as long as a small fit."""
    return is_kept()
