"""atomic.py: a file is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glassnet.atomic import write_atomically as atomic_write
from glassnet.errors import GlassnetError


def test_atomic_write(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    atomic_write(path, b"one")
    atomic_write(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert [other.name for other in tmp_path.iterdir()] == ["a.bin"]
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()], ids=["disk full", "interrupt"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")

    def fail(*_: object, **__: object) -> None:
        raise failure

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", fail)
        else:
            patch.setattr(Path, "replace", fail)
            patch.setattr(os, "replace", fail)
        expected = GlassnetError if isinstance(failure, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [other.name for other in tmp_path.iterdir()] == ["a.bin"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(GlassnetError, match="a file to write, received a folder"):
        atomic_write(tmp_path, b"")
    with pytest.raises(GlassnetError, match="in an existing folder"):
        atomic_write(tmp_path / "nowhere" / "a.bin", b"")
