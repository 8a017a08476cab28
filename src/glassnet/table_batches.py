"""Tables larger than memory: a Parquet or Arrow file as batches of arrays, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, check_count
from glassnet.errors import GlassnetError, choose, fault

__all__ = ["TableBatches", "read_batches"]


def read_batches(
    path: str | Path,
    target: str | Sequence[str],
    *,
    inputs: Sequence[str] | None = None,
    weight: str | None = None,
    classes: Sequence[Any] | None = None,
    rows: int = 65_536,
    dtype: npt.DTypeLike = "float32",
) -> TableBatches:
    """Return the rows of a .parquet, .arrow or .feather file as batches (X, Y), for `train_batches` and `partial_fit`.

    target    the column, or columns, of Y (rows, k)
    inputs    the columns of X (rows, d), in this order; None: all others
    weight    a column of sample weights: each batch is (X, Y, sample_weight) then
    classes   the labels of a target of classes, in the order of the outputs: Y has a row of 0 and 1 for each
    rows      rows of a batch; the last may be smaller
    dtype     of X and Y

    The file is opened, and its columns are checked, at once; it is read anew in each pass, in one thread. Columns must
    be whole numbers, floats, decimals or booleans, without missing values: `glassnet.tables` makes numbers of others.

    Raises GlassnetError for a file or a column that is not there, columns that are not numbers, and, when a batch is
    read, missing values and labels that are not among `classes`.

    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> path = pathlib.Path(tempfile.mkdtemp(), "houses.parquet")
    >>> pd.DataFrame({"rooms": [3, 5, 4], "area": [60.5, 120.0, 90.0], "price": [410, 650, 500]}).to_parquet(path)
    >>> batches = read_batches(path, "price", rows=2)
    >>> len(batches), batches.inputs, [X.shape for X, Y in batches]
    (2, ('rooms', 'area'), [(2, 2), (1, 2)])
    """
    import pyarrow as pa

    path = Path(path)
    if not path.is_file():
        raise fault(str(path), "an existing table file", "a folder" if path.is_dir() else "a path where nothing is")
    kind = choose(
        "table ending for batches", path.suffix.lower(), dict.fromkeys((".parquet", *ARROW), path.suffix.lower())
    )
    try:
        schema, length = _parquet_facts(path) if kind == ".parquet" else _arrow_facts(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise fault(str(path), f"a {kind} file", " ".join(str(error).split()), "It is cut off or corrupt.") from error
    targets = (target,) if isinstance(target, str) else tuple(target)
    taken = {*targets, weight}
    columns = tuple(name for name in schema.names if name not in taken) if inputs is None else tuple(inputs)
    numbers = [*columns, *([] if weight is None else [weight]), *([] if classes is not None else targets)]
    _check_columns(schema, [*numbers, *targets], numbers, str(path))
    if classes is not None and len(targets) != 1:
        raise fault("target", "one column, where classes are given", f"{len(targets)}")
    if length == 0:
        raise fault(str(path), "a table with at least one row", "none")
    labels = None if classes is None else tuple(classes)
    return TableBatches(path, targets, columns, weight, labels, check_count("rows", rows), np.dtype(dtype), length)


@dataclass(frozen=True)
class TableBatches:
    """The rows of a file as batches: see `read_batches`."""

    path: Path
    targets: tuple[str, ...]
    inputs: tuple[str, ...]
    weight: str | None
    classes: tuple[Any, ...] | None
    rows: int
    dtype: np.dtype[Any]
    length: int
    """Rows of the file."""

    def __len__(self) -> int:
        """Return how many batches there are."""
        return -(-self.length // self.rows)

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Yield (X, Y) or (X, Y, sample_weight), reading the file from its beginning."""
        names = [*self.inputs, *self.targets, *([] if self.weight is None else [self.weight])]
        read = _parquet_pieces if self.path.suffix.lower() == ".parquet" else _arrow_pieces
        for number, piece in enumerate(_regular(read(self.path, names, self.rows), self.rows), 1):
            try:
                yield self._arrays(piece)
            except GlassnetError as error:
                raise GlassnetError(f"{self.path}, batch {number}: {error}") from error

    def _arrays(self, piece: Any) -> tuple[Array, ...]:
        X = _matrix(piece, self.inputs, self.dtype)
        Y = _matrix(piece, self.targets, self.dtype) if self.classes is None else self._one_hot(piece)
        return (X, Y) if self.weight is None else (X, Y, _matrix(piece, (self.weight,), self.dtype)[:, 0])

    def _one_hot(self, piece: Any) -> Array:
        labels = np.asarray(piece.column(self.targets[0]).to_pylist(), dtype=object)
        Y = labels[:, None] == np.array(self.classes, dtype=object)
        if not (known := Y.any(axis=1)).all():
            raise fault(f"column {self.targets[0]!r}", "with labels among classes", repr(labels[~known][0]))
        return np.asarray(Y, self.dtype)


ARROW = ".arrow", ".feather"


def _check_columns(schema: Any, names: Sequence[str], numbers: Sequence[str], where: str) -> None:
    import pyarrow as pa

    for name in names:
        choose("column", name, dict.fromkeys(schema.names, True))
    for name in numbers:
        kind = schema.field(name).type
        if not (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_decimal(kind)
        ):
            remedy = "inputs=[...] leaves it out; a target of labels needs classes=[...]."
            raise fault(where, "a table of numbers", f"{kind} in column {name!r}", remedy)


def _matrix(piece: Any, names: Sequence[str], dtype: np.dtype[Any]) -> Array:
    """Return columns as (rows, len(names))."""
    import pyarrow as pa

    matrix = np.empty((piece.num_rows, len(names)), dtype)
    for j, name in enumerate(names):
        column = piece.column(name)
        if column.null_count:
            raise fault(
                f"column {name!r}", "without missing values", f"{column.null_count} of them", "Fill them in first."
            )
        decimal = pa.types.is_decimal(column.type)
        matrix[:, j] = (column.cast(pa.float64()) if decimal else column).to_numpy(zero_copy_only=False)
    return matrix


def _regular(pieces: Iterator[Any], rows: int) -> Iterator[Any]:
    """Yield record batches of exactly so many rows, the last excepted; each is one record batch, joined by copying."""
    import pyarrow as pa

    held: list[Any] = []
    for piece in pieces:
        held.append(piece)
        while sum(part.num_rows for part in held) >= rows:
            table = pa.Table.from_batches(held)
            yield table.slice(0, rows).combine_chunks().to_batches()[0]
            held = table.slice(rows).to_batches()
    if any(part.num_rows for part in held):
        yield pa.Table.from_batches(held).combine_chunks().to_batches()[0]


# ---- the two formats ------------------------------------------------------------------------------------------------


def _parquet_facts(path: Path) -> tuple[Any, int]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.schema_arrow, file.metadata.num_rows


def _parquet_pieces(path: Path, names: Sequence[str], rows: int) -> Iterator[Any]:
    """Pages are decoded as they are needed: a row group may be as large as the file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False, memory_map=False, buffer_size=2**16) as file:
        yield from file.iter_batches(batch_size=rows, columns=list(names), use_threads=False)


def _arrow_facts(path: Path) -> tuple[Any, int]:
    """Mapped, so that only the descriptions of the record batches are read."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        return file.schema, sum(file.get_batch(i).num_rows for i in range(file.num_record_batches))


def _arrow_pieces(path: Path, names: Sequence[str], rows: int) -> Iterator[Any]:
    """Record batches are read whole, one at a time."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        for i in range(file.num_record_batches):
            yield file.get_batch(i).select(list(names))
