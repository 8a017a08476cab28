"""Sealed files: named arrays and JSON in one safetensors file, with a digest of both. Reading one runs no code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault

__all__ = ["as_json", "check_seal", "digest", "one_line", "read", "read_bytes", "seal"]


def seal(about: Mapping[str, object], tensors: Mapping[str, Array]) -> bytes:
    """Return the bytes of a file that holds the arrays and `about`, with the digest of both.

    The same content gives the same bytes. Raises ValueError or TypeError where `about` is not JSON.
    """
    from safetensors.numpy import save as safetensors_bytes

    whole = {**about, "sha256": digest(about, tensors)}
    own = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return bytes(safetensors_bytes(own, {"glassnet": as_json(whole)}))


def read(path: Path, kind: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays of a sealed file and what it says about them, its seal not yet checked: see `check_seal`.

    `kind` names what is expected, for the errors. Raises GlassnetError, one line, for a file that is missing, cut off,
    or written by another program.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as safetensors_arrays

    data = read_bytes(path)
    try:
        arrays = safetensors_arrays(data)  # checks the header: sizes, types, and that the arrays fill the file
    except (SafetensorError, ValueError) as error:
        remedy = "It is cut off, damaged or of another format (pickles are never read)."
        raise fault(str(path), "a safetensors file", one_line(error), remedy) from error
    except KeyError as error:
        raise fault(str(path), "made of float32 or float64", f"type {error}, which NumPy does not have") from error
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header["__metadata__"]["glassnet"])
        if not isinstance(about, dict):
            raise TypeError("other metadata")
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        received = f"a safetensors file of another program ({one_line(error)})"
        raise fault(str(path), kind, received) from error
    return arrays, about


def check_seal(path: Path, about: Mapping[str, Any], tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Return `about` without its digest; raises GlassnetError where the content has changed since it was written."""
    rest = {name: value for name, value in about.items() if name != "sha256"}
    if about.get("sha256") != digest(rest, tensors):
        raise fault(str(path), "as it was written", "other content (its sha256 digest differs)", "Get it again.")
    return rest


def digest(about: Mapping[str, object], tensors: Mapping[str, Array]) -> str:
    """Return the sha256 of everything that a file says: its JSON, and names, types, shapes and bytes of its arrays."""
    total = hashlib.sha256(as_json(about).encode())
    for name, array in sorted(tensors.items()):
        total.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        total.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return total.hexdigest()


def as_json(value: object) -> str:
    """Return strict JSON, the same text for the same value."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file; raises GlassnetError where there is none to read."""
    if path.is_dir():
        raise fault(str(path), "a file", "a folder")
    try:
        return path.read_bytes()
    except OSError as error:
        raise fault(str(path), "a readable file", error.strerror or str(error)) from error


def one_line(error: BaseException) -> str:
    """Return an error's class and text on one line, not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
