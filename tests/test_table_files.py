"""table_files.py: what read_table makes of files, and which ones it refuses."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassnet import tables
from glassnet.errors import GlassnetError
from glassnet.table_files import read_table


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


ROWS = [{"rooms": 3, "city": "Bonn", "price": 410.5}, {"rooms": 5, "city": None, "price": 650.0}]
CSV = b"rooms,city,price\n3,Bonn,410.5\n5,,650\n"


def test_all_kinds_read_alike(tmp_path: Path) -> None:
    expected = pd.DataFrame(ROWS)
    lines = b'{"rooms": 3, "city": "Bonn", "price": 410.5}\n\n{"rooms": 5, "price": 650.0}\n'
    expected.to_parquet(tmp_path / "t.parquet")
    paths = [
        write(tmp_path, "t.csv", CSV),
        write(tmp_path, "bom.CSV", b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n")),
        write(tmp_path, "t.csv.gz", gzip.compress(CSV, mtime=0)),
        write(tmp_path, "t.tsv", CSV.replace(b",", b"\t")),
        write(tmp_path, "t.jsonl", lines),
        write(tmp_path, "t.ndjson.gz", gzip.compress(lines, mtime=0)),
        tmp_path / "t.parquet",
    ]
    for path in paths:
        pd.testing.assert_frame_equal(read_table(str(path)), expected, check_dtype=False)


def test_quotation_marks_and_words_for_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", b'a,b\n"x, y","two\nlines"\nNA,?\n')
    frame = read_table(path)
    assert frame.iloc[0].tolist() == ["x, y", "two\nlines"]
    assert frame.iloc[1].isna().all()


def test_parquet_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "money": [Decimal("1.50"), None],
            "span": pd.to_timedelta([90, 30], unit="s"),
            "day": [pd.Timestamp("2020-02-01").date()] * 2,
        },
        index=[7, 9],
    )
    frame.to_parquet(tmp_path / "t.parquet")
    back = read_table(tmp_path / "t.parquet")
    assert back["money"].dtype == np.float64
    assert back["span"].tolist() == [90.0, 30.0]
    assert back["day"].dtype.kind == "M"
    assert back.index.tolist() == [0, 1]
    assert list(back.columns) == ["money", "span", "day"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.cvs", CSV, r"unknown table ending '\.cvs': did you mean '\.csv'\?"),
        ("t.parquet.gz", CSV, "unknown table ending"),
        ("none", CSV, "unknown table ending ''"),
        ("t.csv", b"", "an empty file"),
        ("t.csv", b"\n\n", "an empty file"),
        ("t.csv", b"a,b\n", "at least one row, received 0 rows"),
        ("t.jsonl", b"\n", "an empty file"),
        ("t.csv", b"a,b\n1,\xff\n", "text in UTF-8, received byte 0xff in line 2.*iconv"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "2 fields in every row, received 3 in line 3"),
        ("t.csv", b"a,b\n1,2,3\n1,2,3\n", "2 fields in every row, received 3 in line 2"),
        ("t.csv", b'a,b\n"1\n",2\n\n1\n', "2 fields in every row, received 1 in line 5"),
        ("t.csv", b'a,b\n1,"2\n3,4\n', "must be a table that can be read"),
        ("t.csv", b"a,b\n1," + b"x" * 140_000 + b"\n", "field larger than field limit"),
        ("t.csv", b"a,b,a\n1,2,3\n", "different column names, received 'a' twice"),
        ("t.csv", b",b\n0,2\n", "columns all have names, received none for column 1.*index=False"),
        ("t.csv", b"a;b\n1;2\n", "separated by commas, received the single column 'a;b'"),
        ("t.csv.gz", CSV, "must be a readable file"),
        ("t.csv.gz", gzip.compress(CSV, mtime=0)[:-12], "must be a readable file"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "one JSON object a line, received .* in line 2"),
        ("t.jsonl", b"[1, 2]\n", "one JSON object a line, received list in line 1"),
        ("t.jsonl", b'{"a": [1, 2]}\n', "received list in row 0 of column 'a'"),
        ("t.parquet", b"PAR1 not at all", "must be a parquet file"),
        ("t.parquet", b"", "must be a parquet file"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = write(tmp_path, name, data)
    with pytest.raises(GlassnetError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_paths_that_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "houses.csv", CSV)
    with pytest.raises(GlassnetError, match=r"Did you mean 'houses\.csv'"):
        read_table(tmp_path / "house.csv")
    with pytest.raises(GlassnetError, match="does not exist either"):
        read_table(tmp_path / "nowhere" / "houses.csv")
    with pytest.raises(GlassnetError, match="must be a table file, received a folder"):
        read_table(tmp_path)
    good = write(tmp_path, "cut.parquet", b"")
    pd.DataFrame(ROWS).to_parquet(good)
    good.write_bytes(good.read_bytes()[:-40])
    with pytest.raises(GlassnetError, match="must be a parquet file"):
        read_table(good)


def test_tables_hand_it_on() -> None:
    assert tables.read_table is read_table
