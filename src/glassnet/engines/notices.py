"""One line of information, once a process: not a warning, since nothing is wrong with the result."""

from __future__ import annotations

import logging
import sys

__all__ = ["say_once"]

_said: set[str] = set()


def say_once(line: str) -> None:
    """Print a line to stderr, the first time that it is said, and log it (logger "glassnet", level INFO)."""
    if line not in _said:
        _said.add(line)
        logging.getLogger("glassnet").info(line)
        print(f"glassnet: {line}", file=sys.stderr)
