"""Names of parametrised tests: the same in every process, so that several may share the suite."""

from __future__ import annotations

import re

__all__ = ["plain"]


def plain(value: object) -> str:
    """Return what a value is called, without addresses in memory.

    >>> plain(plain)
    '<function plain>'
    """
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
