"""What every door demands of an error."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np

from glassnet.errors import GlassnetError

HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 1e308, -0.0, 5e-324, "", " ", "\0", "../../evil",
    "/etc/passwd", "a" * 5000, "\ud83d\ude00", "__class__", "os.system", [], {}, [[]], {"": ""}, [1, 2, 3], "Dense",
    "relu", "nan", "1e400",
    {"layer": "Dense", "units": 3, "activation": "relu"}, [None], {"name": "tanh"}, [0, -1],
]  # fmt: skip


def pick(rng: np.random.Generator, options: Any) -> Any:
    """Return one of them."""
    return options[int(rng.integers(len(options)))]


def text(rng: np.random.Generator, most: int = 12) -> str:
    """Return text of odd letters."""
    letters = [
        *string.ascii_letters,
        *string.digits,
        *" ,;\t\"'\n\r\\{}[]:|?%$#.-+eE",
        "é",
        "😀",
        "\0",
        "\ufeff",
        "\u2028",
    ]
    return "".join(pick(rng, letters) for _ in range(int(rng.integers(most + 1))))


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """Return the bytes cut off, or with one bit flipped."""
    if not data:
        return b"\0"
    if rng.random() < 0.5:
        return data[: int(rng.integers(len(data)))]
    broken = bytearray(data)
    broken[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def refusal(work: Callable[[], Any], *also: type[Exception]) -> tuple[bool, Any]:
    """Return (True, None) where the work raises one of our errors, of one line, else (False, what it returned)."""
    try:
        return False, work()
    except GlassnetError as error:
        said = str(error)
    except also as error:
        return True, str(error)
    if not said.strip() or len(said) > 3000 or ("\n" in said and not also):
        raise AssertionError(f"an error of another form: {said[:400]!r}")
    return True, None
