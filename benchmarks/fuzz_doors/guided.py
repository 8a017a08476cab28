"""Cases that are made of bytes, so that a fuzzer that sees which code they reach can steer them.

The first byte says what the others are: a whole file, or only its inside, which is then packed as it should be, since
digests and check sums would keep changed bytes from the code behind them. `seeds` are cases to begin with.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz_doors import cli, cli_words, files, tables
from benchmarks.fuzz_doors.judging import refusal
from glassnet import sealed
from glassnet import tables as of_tables
from glassnet.gallery import NAMES
from glassnet.table_files import read_table

# ---- model files ----------------------------------------------------------------------------------------------------


def parts(kind: str) -> tuple[bytes, bytes]:
    """Return the header of a sealed file, as JSON, and what follows it."""
    data = files.whole(kind)
    n = int.from_bytes(data[:8], "little")
    return data[8 : 8 + n], data[8 + n :]


def contents(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a sealed file, and what it says of them without the digest."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "m").write_bytes(files.whole(kind))
        arrays, about = sealed.read(Path(folder) / "m", "ours")
    return arrays, {name: value for name, value in about.items() if name != "sha256"}


def metadata(kind: str) -> bytes:
    return json.dumps(contents(kind)[1]).encode()


def with_header(kind: str, header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + parts(kind)[1]


def with_metadata(kind: str, said: bytes) -> bytes:
    """Return a file that is sealed around other metadata; around what is no JSON object, without a seal."""
    arrays, _ = contents(kind)
    try:
        about = json.loads(said)
        if isinstance(about, dict):
            return sealed.seal({**about, "note": "resealed"}, arrays)
    except (ValueError, TypeError, RecursionError):
        pass  # no JSON: it goes into the file as it is
    header = json.loads(parts(kind)[0])
    header["__metadata__"] = {"glassnet": said.decode("utf-8", "replace")}
    return with_header(kind, json.dumps(header).encode())


def with_schema(schema: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files.whole("pipeline"))) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, schema if name == "schema.json" else old.read(name))
    return made.getvalue()


def schema() -> bytes:
    with zipfile.ZipFile(io.BytesIO(files.whole("pipeline"))) as archive:
        return json.dumps(json.loads(archive.read("schema.json"))).encode()


FILES: list[tuple[str, Callable[[bytes], bytes], Callable[[], bytes]]] = [
    ("network", lambda data: data, lambda: files.whole("network")),
    ("network", lambda data: with_header("network", data), lambda: parts("network")[0]),
    ("network", lambda data: with_metadata("network", data), lambda: metadata("network")),
    ("checkpoint", lambda data: with_metadata("checkpoint", data), lambda: metadata("checkpoint")),
    ("pipeline", with_schema, schema),
    ("pipeline", lambda data: data, lambda: files.whole("pipeline")),
]  # fmt: skip
"""Kind of file, how the bytes become one, and the bytes of a right one."""


def model_file(data: bytes, folder: Path) -> str:
    kind, pack, _ = FILES[data[0] % len(FILES)]
    return files.judged(kind, pack(data[1:]), folder)


# ---- tables ---------------------------------------------------------------------------------------------------------

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".jsonl.gz", ".tsv", ".gz")


def table_file(data: bytes, folder: Path) -> str:
    ending = ENDINGS[data[0] % len(ENDINGS)]
    path = folder / ("t" + ending)
    path.write_bytes(gzip.compress(data[1:], 1, mtime=0) if ending.count(".") == 2 else data[1:])
    refused, frame = refusal(lambda: read_table(path))
    if refused:
        return "refused"
    tables.check(frame)
    refusal(lambda: of_tables.summarise(frame))
    refused, split = refusal(lambda: of_tables.split_target(frame, None))
    if not refused:
        refusal(lambda: of_tables.task_of(split.y, None))
    return "right"


# ---- command line ---------------------------------------------------------------------------------------------------

SMALL = {"search": cli_words.SMALL_SEARCH, "pde": cli_words.SMALL_PDE}


def command_line(data: bytes, folder: Path) -> str:
    """Run the lines of a text as the words of a command; "skipped" where it may write elsewhere, or for hours."""
    words = data[1:].decode("utf-8", "replace").split("\n")
    command = words[0]
    parts = [part for word in words for part in re.split("[=,]", word)]
    if any(part.lstrip("-o").startswith(("/", "~")) or ".." in part or 99 < number(part) < 1e15 for part in parts):
        return "skipped"
    if command == "warmup" or (command == "gallery" and {*NAMES, "--all"} & set(words)):
        return "skipped"
    for name, value in SMALL.get(command, {}).items():
        words += [name, value] if name not in words else []
    return cli.judged(np.random.default_rng(data[0]), folder, words)


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


# ---- all doors ------------------------------------------------------------------------------------------------------

DOORS: dict[str, Callable[[bytes, Path], str]] = {"files": model_file, "tables": table_file, "cli": command_line}


def one(door: str, data: bytes) -> str:
    """Run the case of some bytes in a folder of its own; return how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        return DOORS[door](data or b"\0", Path(folder))


def seeds(door: str) -> Iterator[bytes]:
    """Return cases to begin with: those that are right, or what the door draws by itself."""
    if door == "files":
        yield from (bytes([place]) + whole() for place, (_, _, whole) in enumerate(FILES))
        return
    for seed in range(60):
        rng = np.random.default_rng(seed)
        if door == "cli":
            yield bytes([seed]) + "\n".join(cli_words.line(rng)).encode("utf-8", "replace")
        else:
            name, data, _ = tables.MAKERS[("plain", "odd", "lines", "parquet")[seed % 4]](rng)
            yield bytes([next((i for i, ending in enumerate(ENDINGS) if name.endswith(ending)), 0)]) + data


def words(door: str) -> set[str]:
    """Return what such cases are made of: names, keys and values."""
    if door == "cli":
        tables_of = (cli_words.FIT, cli_words.SEARCH, cli_words.PDE)
        return {word for table in tables_of for name, values in table.items() for word in (name, *values)}
    if door == "tables":
        return set(tables.CELLS)
    texts = [whole().decode("latin-1") for _, _, whole in FILES[1:5]]
    return {word for text in texts for word in re.findall(r'"(\w{2,20})"', text)} | {"null", "1e999", "-1", "[]", "{}"}
