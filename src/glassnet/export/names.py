"""Names of columns and classes, made safe for a comment, a text or an identifier of another language."""

from __future__ import annotations

import json
import re
from typing import Any

from glassnet.errors import fault

__all__ = ["LONGEST", "c_comment", "c_string", "identifier"]

LONGEST = 1000
"""Characters of a name: C99 promises texts of 4,095 bytes, and a character may take four."""


def identifier(name: str) -> str:
    """Return `name` with everything but ASCII letters, digits and _ replaced by _.

    >>> identifier("my net 2")
    'my_net_2'
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def c_comment(value: Any) -> str:
    """Return a value as JSON in ASCII that neither ends a comment nor begins one, nor makes a trigraph.

    >>> c_comment("a */ b")
    '"a * / b"'
    """
    text = json.dumps(value)
    for pair in ("*/", "/*", "??"):
        text = text.replace(pair, f"{pair[0]} {pair[1]}")
    return text


def c_string(name: str) -> str:
    """Return `name` as a text of C: UTF-8, in octal escapes where it is not plain ASCII.

    Raises GlassnetError for one of more than `LONGEST` characters.
    """
    if len(name) > LONGEST:
        raise fault("a class", f"called by at most {LONGEST} characters for C", f"{len(name):,}")
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in name.encode()) + '"'
