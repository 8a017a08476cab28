"""Resuming where files are damaged and disks are full: the checkpoint before is used, and it is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import glassnet as gn
from glassnet.errors import GlassnetError
from resume_runs import PowerCut, cut_after, fit, same


def damage(path: Path, how: str, seed: int = 0) -> None:
    data = bytearray(path.read_bytes())
    place = int(np.random.default_rng(seed).integers(len(data)))
    if how == "truncated":
        data = data[:place]
    elif how == "flipped":
        data[place] ^= 1 << seed % 8
    else:
        data = bytearray()
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty"])
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_newest_checkpoint(tmp_path: Path, how: str, seed: int) -> None:
    fit(epochs=5, callbacks=[gn.Checkpoint(tmp_path)])
    damage(tmp_path / "checkpoint-00000005.safetensors", how, seed)
    with pytest.warns(RuntimeWarning, match=r"is damaged .*checkpoint-00000005.* of epoch 4"):
        run = fit(resume=tmp_path, callbacks=[gn.Checkpoint(tmp_path, 3)])
    same(run, fit())
    # the damaged one is not taken for one of the two that are kept
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"checkpoint-0000000{e}.safetensors" for e in (6, 9)]


def test_the_damaged_one_is_not_kept_in_place_of_a_whole_one(tmp_path: Path) -> None:
    fit(epochs=5, callbacks=[gn.Checkpoint(tmp_path)])
    damage(tmp_path / "checkpoint-00000005.safetensors", "truncated")
    with pytest.warns(RuntimeWarning, match="is damaged"):
        fit(epochs=6, resume=tmp_path, callbacks=[gn.Checkpoint(tmp_path, 6)])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"checkpoint-0000000{e}.safetensors" for e in (4, 6)]


def test_all_damaged(tmp_path: Path) -> None:
    fit(epochs=5, callbacks=[gn.Checkpoint(tmp_path)])
    for path in tmp_path.iterdir():
        damage(path, "truncated")
    with pytest.raises(GlassnetError, match=r"a folder with a whole checkpoint, received .*00000005.*00000004"):
        fit(resume=tmp_path)


@pytest.mark.parametrize("failing", ["fsync", "mkdir"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """Training goes on, it is said, and the last good checkpoint is still there."""
    folder = tmp_path / "run"
    with pytest.raises(PowerCut):
        fit(callbacks=[gn.Checkpoint(folder), cut_after(4)])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "mkdir")), full)
        with pytest.warns(RuntimeWarning, match=r"could not be written .*No space left.*00000004") as told:
            same(fit(resume=folder, callbacks=[gn.Checkpoint(folder)]), fit())
    assert [str(one.message)[:25] for one in told] == [f"the checkpoint of epoch {e}" for e in range(5, 10)]
    assert sorted(p.name for p in folder.iterdir()) == [f"checkpoint-0000000{e}.safetensors" for e in (3, 4)]
    same(fit(resume=folder), fit())


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Half of the temporary file is written before the system refuses: nothing of it is left."""
    resource = pytest.importorskip("resource", reason="needs limits of a Unix system")
    fit(epochs=4, callbacks=[gn.Checkpoint(tmp_path)])
    whole, before = fit(), sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match=r"could not be written .*File too large.*00000004"):
            run = fit(resume=tmp_path, callbacks=[gn.Checkpoint(tmp_path, 9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    same(run, whole)
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="epoch 9 could not be written .* none has been written"):
        same(fit(callbacks=[gn.Checkpoint(tmp_path / "file" / "run", 9)]), fit())
