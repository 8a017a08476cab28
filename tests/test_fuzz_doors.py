"""The fuzzer itself: its limits, its doors of bytes, and the cases that steered bytes and command lines have found."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import fuzz, fuzz_guided
from benchmarks.fuzz_doors import cli, cli_words, guided

DOORS = ("files", "tables", "cli")


def test_the_seeds_of_tables_end_both_ways() -> None:
    assert {guided.one("tables", data) for data in guided.seeds("tables")} == {"right", "refused"}


def test_a_right_file_of_each_kind_is_read() -> None:
    """Else all cases that begin with it would be refused for what the packing does."""
    packed = {place: guided.one("files", bytes([place]) + whole()) for place, (_, _, whole) in enumerate(guided.FILES)}
    assert set(packed.values()) == {"right"}
    cut = {
        place: guided.one("files", bytes([place]) + whole()[:-9]) for place, (_, _, whole) in enumerate(guided.FILES)
    }
    assert set(cut.values()) == {"refused"}


def test_what_a_steered_command_may_not_do_is_skipped() -> None:
    for line in (
        "fit\nt.csv\n--out\n/tmp/x",
        "fit\nt.csv\n--out=../x",
        "fit\nt.csv\n--epochs\n12345",
        "warmup",
        "gallery\ngates",
    ):
        assert guided.one("cli", b"\0" + line.encode()) == "skipped"
    assert guided.one("cli", b"\0show\no") == "right"
    assert guided.one("cli", b"\0show\nno") == "refused"


def test_the_words_of_the_dictionary_are_quoted() -> None:
    assert fuzz_guided.entry('a"\\') == '"\\x61\\x22\\x5c"\n'
    assert all(guided.words(door) for door in DOORS)


def test_without_atheris_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_guided, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["fuzz", "--atheris", "--door", "tables"])
    with pytest.raises(SystemExit, match="pip install atheris"):
        fuzz.main()


def test_a_case_without_end_is_ended() -> None:
    def spin() -> str:
        while True:
            pass

    fuzz.set_limit(0.05)
    try:
        with pytest.raises(fuzz.TookTooLong):
            spin()
    finally:
        fuzz.set_limit(0)


# ---- the command line -----------------------------------------------------------------------------------------------


def test_files_that_nobody_asked_for_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge itself: a command that writes beside its own, and one that leaves a file when it refuses."""

    def writes(code: int, name: str) -> None:
        def run(words: list[str], home: Path) -> tuple[int, str]:
            (home / name).write_text("x")
            return code, "glassnet: said."

        monkeypatch.setattr(cli, "run", run)

    rng = np.random.default_rng(0)
    cli.whole_run()
    writes(0, "o2")
    assert cli.judged(rng, tmp_path / "a", ["fit", "t.csv", "--out", "o2"]) == "right"
    with pytest.raises(AssertionError, match="wrote"):
        cli.judged(rng, tmp_path / "b", ["fit", "t.csv", "--out", "o3"])
    writes(2, "o2")
    with pytest.raises(AssertionError, match="nobody asked for"):
        cli.judged(rng, tmp_path / "c", ["fit", "t.csv", "--out", "o2"])


def test_every_command_is_asked() -> None:
    rng = np.random.default_rng(0)
    assert {cli_words.line(rng)[0] for _ in range(400)} >= {*cli.COMMANDS, "warmup"}


@pytest.mark.parametrize("words", [
    ["pde", "hjb", "--dim", "99999999999999999999", "--iterations", "1"],  # a bare ValueError of NumPy
    ["export", "o", "--format", "c", "-o", ""],  # a bare ValueError of pathlib: '.' has an empty name
])  # fmt: skip
def test_command_lines_that_escaped(tmp_path: Path, words: list[str]) -> None:
    assert cli.judged(np.random.default_rng(0), tmp_path, words) == "refused"


def test_one_process_of_its_own(tmp_path: Path) -> None:
    assert cli.judged(np.random.default_rng(0), tmp_path, ["show", "no"], own_process=True) == "refused"
