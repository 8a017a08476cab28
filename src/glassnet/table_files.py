"""Table files in, pandas frames out: `read_table`. Every refusal is one line that names file, row or column."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from glassnet.errors import GlassnetError, choose, fault, nearest, type_fault

__all__ = ["Frame", "check_names", "check_plain", "read_table"]

Frame: TypeAlias = pd.DataFrame


def read_table(path: str | Path) -> Frame:
    """Read .csv (commas), .tsv (tabs), .jsonl or .ndjson (an object a line), .parquet; text also as .gz.

    Text must be UTF-8, its first row the column names. Empty fields and the usual words for "missing" (NA,
    NaN, null, ?) become missing values; dates stay text here: `tables.summarise` and `tables.make_pipeline` recognise
    them.
    In .parquet, decimals become floats, durations seconds, and a pandas index is left out.

    Raises `GlassnetError`, one line, for a file that is missing, a folder, of an unknown kind, empty, not
    UTF-8, ragged, corrupt, with equal or empty column names, or with lists or objects as values.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "houses.csv")
    >>> _ = path.write_text("rooms,city,price\\n3,Bonn,410\\n5,,650\\n")
    >>> read_table(path)
       rooms  city  price
    0      3  Bonn    410
    1      5   NaN    650
    """
    path = Path(path)
    if path.is_dir():
        raise fault(str(path), "a table file", "a folder", f"Name a file in it: {', '.join(_READERS)}.")
    if not path.exists():
        raise fault(str(path), "an existing table file", "a path where nothing is", _neighbour(path))
    zipped = path.suffix.lower() == ".gz"
    ending = (path.with_suffix("") if zipped else path).suffix.lower()
    reader = choose("table ending", ending, _TEXT_READERS if zipped else _READERS)
    try:
        data = _unpacked(path) if zipped else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise fault(str(path), "a readable file", str(error)) from error
    frame = reader(data, str(path))
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        received = f"{frame.shape[0]} rows"
        raise fault(str(path), "a table with at least one row", received, "Is it only a header?")
    return frame.reset_index(drop=True)


MOST_BYTES = 2 * 2**30
"""A packed table that unpacks to more is refused: a small file may hold any number of zeros."""
MOST_CELLS = 10**9
"""So is a Parquet file that claims more cells."""


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        received = f"more, packed into {path.stat().st_size:,}"
        raise fault(
            str(path), f"at most {MOST_BYTES:,} bytes when unpacked", received, "Unpack it first, if you know it."
        )
    return data


def _neighbour(path: Path) -> str:
    """Guess which file of the same folder was meant."""
    if not path.parent.is_dir():
        return f"The folder {path.parent} does not exist either."
    guess = nearest(path.name, (other.name for other in path.parent.iterdir()))
    return f"Did you mean {guess!r}?" if guess else ""


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        received = f"byte 0x{data[error.start]:02x} in line {line}"
        remedy = "Save it as UTF-8, for instance: iconv -f WINDOWS-1252 -t UTF-8 old > new"
        raise fault(name, "text in UTF-8", received, remedy) from error


def _separated(separator: str) -> Callable[[bytes, str], Frame]:
    def read(data: bytes, name: str) -> Frame:
        text = _decoded(data, name)
        _check_rows(text, separator, name)
        try:
            # low_memory=False: types are decided by whole columns and not by pieces of them
            return pd.read_csv(io.StringIO(text), sep=separator, low_memory=False, na_values=["?"], index_col=False)
        except pd.errors.ParserError as error:
            raise fault(name, "a table that can be read", " ".join(str(error).split())) from error

    return read


def _check_rows(text: str, separator: str, name: str) -> None:
    """Demand rows as long as the header: pandas fills short ones up and shifts long ones, silently."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header: list[str] = []
    last_line = 0
    try:
        for row in rows:
            line, last_line = last_line + 1, rows.line_num
            if not header:
                header = row
                if header:
                    _check_header(header, separator, name)
            elif row and len(row) != len(header):
                remedy = "A field that holds the separator or a line break needs quotation marks around it."
                expected = f"a table with {len(header)} fields in every row"
                raise fault(name, expected, f"{len(row)} in line {line}", remedy)
    except csv.Error as error:
        raise fault(name, "a table that can be read", f"{error} in line {rows.line_num}") from error
    if not header:
        raise fault(name, "a table with a header and rows", "an empty file")


def _check_header(header: Sequence[str], separator: str, name: str) -> None:
    if len(header) == 1 and any(other in header[0] for other in ";\t|,"):
        shown = {",": "commas", "\t": "tabs"}[separator]
        remedy = "Convert it: pandas.read_csv(path, sep=';', decimal=',').to_csv(new_path, index=False)"
        raise fault(name, f"separated by {shown}", f"the single column {header[0]!r}", remedy)
    check_names(header, name)


def check_names(names: Sequence[object], where: str) -> None:
    """Column names are text, not empty, and no two are equal."""
    seen = set()
    for position, column in enumerate(names, start=1):
        if not isinstance(column, str):
            remedy = "frame.columns = [str(name) for name in frame.columns]"
            raise type_fault(where, "a table whose column names are text", repr(column), remedy)
        if not column.strip():
            remedy = "Row numbers? Write the file without them: frame.to_csv(path, index=False)"
            raise fault(where, "a table whose columns all have names", f"none for column {position}", remedy)
        if column in seen:
            remedy = "Rename one of them."
            raise fault(where, "a table with different column names", f"{column!r} twice", remedy)
        seen.add(column)


def _json_lines(data: bytes, name: str) -> Frame:
    records: list[dict[str, Any]] = []
    for line, text in enumerate(_decoded(data, name).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise fault(name, "one JSON object a line", f"{error} in line {line}") from error
        if not isinstance(record, dict):
            received = f"{type(record).__name__} in line {line}"
            raise fault(name, "one JSON object a line", received, 'Like {"rooms": 3, "price": 410}')
        records.append(record)
    if not records:
        raise fault(name, "a table with at least one row", "an empty file")
    frame = pd.DataFrame.from_records(records)
    check_names(list(frame.columns), name)
    check_plain(frame, name)
    return frame


def _parquet(data: bytes, name: str) -> Frame:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        if (cells := file.metadata.num_rows * file.metadata.num_columns) > MOST_CELLS:
            raise fault(name, f"a table of at most {MOST_CELLS:,} cells", f"{cells:,}", "Cut it into parts.")
        table = file.read()
        check_names(table.schema.names, name)
        for position, field in enumerate(table.schema):
            if pa.types.is_decimal(field.type):
                table = table.set_column(position, field.name, table.column(position).cast(pa.float64()))
        frame: Frame = table.to_pandas(date_as_object=False)
    except GlassnetError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        # pandas believes what the file says of its index, which may be any JSON, or none
        received = " ".join(str(error).split())
        raise fault(name, "a parquet file", received, "Write it again: it is cut off or corrupt.") from error
    check_names(list(frame.columns), name)  # once more: what the file says to pandas may rename them
    for column in frame.select_dtypes("timedelta"):
        frame[column] = frame[column].dt.total_seconds()
    check_plain(frame, name)
    return frame


def check_plain(frame: Frame, where: str) -> None:
    """Refuse cells that hold several values (lists, objects, bytes): no column of numbers comes of them."""
    for name in frame.columns:
        if frame[name].dtype != object:
            continue
        for row, value in enumerate(frame[name]):
            if isinstance(value, list | tuple | dict | set | np.ndarray | bytes):
                received = f"{type(value).__name__} in row {row} of column {name!r}"
                remedy = "Spread it over columns of its own, or leave the column out."
                raise fault(where, "a table of numbers, text and dates", received, remedy)


_TEXT_READERS: dict[str, Callable[[bytes, str], Frame]] = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
_READERS: dict[str, Callable[[bytes, str], Frame]] = {**_TEXT_READERS, ".parquet": _parquet}
