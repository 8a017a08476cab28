"""Table files: odd encodings, ragged rows, huge fields, equal headers, mixed types, many columns, bombs."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.fuzz_doors.judging import HOSTILE, damaged, pick, refusal, text
from glassnet import tables
from glassnet.table_files import Frame, read_table

CELLS = [
    "1", "2.5", "-3e4", "", "NA", "?", "yes", "True", "2024-01-31", "1,5", "inf", "nan", "1e999", "0x10", " 7 ", "é",
    '"', "x" * 300, "12345678901234567890123", "00012", "1_000", "2024-13-45", "10:30",
]  # fmt: skip
CODES = ["utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-32", "cp1252", "shift-jis"]


def case(rng: np.random.Generator, folder: Path) -> str:
    kind = pick(rng, ("plain", "plain", "odd", "odd", "odd", "lines", "parquet", "wide", "noise"))
    name, data, expected = MAKERS[kind](rng)
    if rng.random() < 0.1 and not name.endswith(".parquet"):
        packed = gzip.compress(data, 1, mtime=0)
        if rng.random() < 0.4:
            packed, expected = damaged(rng, packed), None
        name, data = name + ".gz", packed
    elif rng.random() < 0.1:
        data, expected = damaged(rng, data), None
    (folder / name).write_bytes(data)
    refused, frame = refusal(lambda: read_table(folder / name))
    if refused:
        assert expected is None, "a table that is right was refused"
        return "refused"
    check(frame)
    if expected is not None:
        pd.testing.assert_frame_equal(frame, expected, check_dtype=False)
    if len(frame.columns) > 1000:
        return "right"  # read; describing each column takes many seconds, which docs/reliability.md says
    refusal(lambda: tables.summarise(frame))
    refused, split = refusal(lambda: tables.split_target(frame, pick(rng, (None, *map(str, frame.columns[:3]), "no"))))
    if not refused:
        refusal(lambda: tables.task_of(split.y, pick(rng, (None, "classification", "regression", "cooking"))))
        refusal(lambda: tables.check_columns(split.X, split.X.columns))
    return "right"


def check(frame: Frame) -> None:
    assert len(frame) >= 1
    names = list(frame.columns)
    assert all(isinstance(name, str) and name.strip() for name in names)
    assert len(set(names)) == len(names) >= 1


def plain(rng: np.random.Generator) -> tuple[str, bytes, Frame | None]:
    """Return a table with nothing wrong, and what must be read."""
    m, d = int(rng.integers(1, 30)), int(rng.integers(1, 6))
    columns = {f"c{j}": rng.normal(size=m).round(3) if rng.random() < 0.7 else rng.integers(-9, 9, m) for j in range(d)}
    if rng.random() < 0.5:
        columns["words"] = np.array([f"w {i}, 'x'" for i in range(m)], dtype=object)
    frame = pd.DataFrame(columns)
    separator, ending = pick(rng, ((",", ".csv"), ("\t", ".tsv")))
    return "t" + ending, frame.to_csv(index=False, sep=separator).encode(), frame


def odd(rng: np.random.Generator) -> tuple[str, bytes, None]:
    """Return a table with everything wrong that a spreadsheet, or a person, can do."""
    d, m = int(pick(rng, (0, 1, 2, 3, 5))), int(pick(rng, (0, 1, 3, 40)))
    header = [pick(rng, (f"c{j}", f"c{j}", f"c{j}", "c0", "", text(rng), "Unnamed: 0")) for j in range(d)]
    rows = [[pick(rng, CELLS) if rng.random() < 0.9 else text(rng, 40) for _ in range(d)] for _ in range(m)]
    for row in rows:
        if rng.random() < 0.03:
            row.append("1")
    if rows and d and rng.random() < 0.05:
        rows[0][0] = "h" * int(pick(rng, (140_000, 300_000)))
    separator = pick(rng, (",", ",", ",", "\t", ";", "|"))
    made = io.StringIO()
    style = pick(rng, (csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    csv.writer(made, delimiter=separator, quoting=style, lineterminator=pick(rng, ("\n", "\r\n", "\r"))).writerows(
        [header, *rows]
    )
    content = made.getvalue()
    if rng.random() < 0.15:
        place = int(rng.integers(len(content) + 1))
        content = content[:place] + pick(rng, ('"', "\0", "\n\n", "\r", ",,,", "#", "\ufeff", "\x1a")) + content[place:]
    data = content.encode(pick(rng, CODES), errors="replace")
    return "t" + pick(rng, (".csv", ".csv", ".csv", ".tsv", ".CSV", ".txt", ".xlsx", "")), data, None


def lines(rng: np.random.Generator) -> tuple[str, bytes, None]:
    """Return JSON lines with values of all kinds."""
    values = [*HOSTILE, float("nan"), float("inf"), 1.5, "2024-01-01"]
    m = int(rng.integers(0, 12))
    names = [pick(rng, ("a", "b", "c", "d", "", "  ", text(rng))) for _ in range(4)]
    plain_values = values[:12]
    one = plain_values if rng.random() < 0.5 else values
    rows = [json.dumps({name: pick(rng, one) for name in names if rng.random() < 0.9}) for _ in range(m)]
    if rng.random() < 0.2:
        rows.append(
            pick(rng, ("[1]", "{", "null", "5", '{"a": 1} {"a": 2}', '{"a": 1, "a": 2}', "[" * 100_000, '{"a": 1e999}'))
        )
    return pick(rng, ("t.jsonl", "t.ndjson")), "\n".join(rows).encode("utf-8", "surrogatepass"), None


def parquet(rng: np.random.Generator) -> tuple[str, bytes, None]:
    """Return a parquet file, half of them damaged."""
    m = int(rng.integers(0, 9))
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=m),
            "b": rng.integers(0, 5, m),
            "c": [pick(rng, ("x", "y", None)) for _ in range(m)],
            "d": pd.date_range("2024-01-01", periods=m),
            "e": pd.to_timedelta(rng.integers(0, 9, m), unit="h"),
            "f": pd.Series([pick(rng, (True, False, None)) for _ in range(m)], dtype="boolean"),
            "g": [[1, 2]] * m if rng.random() < 0.1 else 1.0,
        }
    )
    made = io.BytesIO()
    frame.to_parquet(made)
    data = made.getvalue()
    return "t.parquet", damaged(rng, data) if rng.random() < 0.5 else data, None


def wide(rng: np.random.Generator) -> tuple[str, bytes, Frame | None]:
    """Return ten thousand columns, seldom: they take long."""
    if rng.random() < 0.97:
        return plain(rng)
    frame = pd.DataFrame(rng.integers(0, 9, (2, 10_000)), columns=[f"c{j}" for j in range(10_000)])
    return "t.csv", frame.to_csv(index=False).encode(), frame


def noise(rng: np.random.Generator) -> tuple[str, bytes, None]:
    data = rng.bytes(int(rng.integers(200))) if rng.random() < 0.5 else text(rng, 200).encode("utf-8", "replace")
    return "t" + pick(rng, (".csv", ".tsv", ".jsonl", ".parquet")), data, None


MAKERS = {"plain": plain, "odd": odd, "lines": lines, "parquet": parquet, "wide": wide, "noise": noise}
