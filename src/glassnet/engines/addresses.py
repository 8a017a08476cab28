"""Where arrays and C functions are, for compiled code that is called with addresses."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.engines.tables import LINE
from glassnet.engines.threads import c_function

__all__ = ["address_of", "aligned", "sched_yield", "strided"]


def aligned(shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return zeros that begin with a line of the cache: a vector of 64 bytes never lies in two, where rows allow it."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(kind).reshape(shape)


def strided(array: Array) -> tuple[Array, tuple[int, int, int]]:
    """Return the array, its address and its strides in places."""
    if any(stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    row, column = (stride // array.itemsize for stride in array.strides)
    return array, (array.ctypes.data, row, column)


def address_of(function: Any) -> int:
    """The address of a C function."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def sched_yield() -> int:
    """The address of the C library's function that offers the core to others; 0 where there is none."""
    function = c_function("sched_yield")
    return 0 if function is None else address_of(function)
