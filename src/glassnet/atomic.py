"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from glassnet.errors import fault

__all__ = ["write_atomically"]


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` so that at any moment either the old file or the whole new one is there.

    The bytes go to a temporary file in the same folder (`.NAME.RANDOM.tmp`), are forced to disk (fsync), and the file
    is renamed (`os.replace`, atomic within one file system). Whatever goes wrong, the temporary file is removed; only a
    process that is killed leaves it.

    Raises `GlassnetError` when the folder does not exist, `path` is a folder, or the system refuses to write.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "note.bin")
    >>> write_atomically(path, b"all or nothing")
    >>> path.read_bytes()
    b'all or nothing'
    """
    path = Path(path)
    if path.is_dir():
        raise fault(str(path), "a file to write", "a folder", "Add a file name.")
    if not path.parent.is_dir():
        raise fault(str(path), "in an existing folder", f"{path.parent}, which is none", "Create it first.")
    temporary = path.parent / f".{path.name[:100]}.{secrets.token_hex(8)}.tmp"
    try:
        # "x": never an existing file; the user's usual permissions, which tempfile would narrow to 0600
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise fault(str(path), "a place that can be written", str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)  # after the rename it is no longer there


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to disk, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
