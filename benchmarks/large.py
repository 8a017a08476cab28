"""Train on files that are larger than the memory that is taken: how much is that?

    python -m benchmarks.large --rows 10000000

Writes rows x 20 columns of float32 (as .npy and as .parquet), makes one epoch in each way, each in a process of its
own, and prints two peaks, both above what the interpreter takes with NumPy, Numba and pyarrow loaded:

    own       anonymous memory (RssAnon of /proc/self/status, sampled every 5 ms): what the process has allocated
    resident  ru_maxrss: that, and the pages of mapped files that happen to be in memory. The system takes those back
              whenever it needs them: they are its cache of the file, and not a copy

The files are deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import glassnet as gn

COLUMNS = 20
BLOCK = 100_000
MB = 1e6
LIMIT = 500.0
"""Megabytes that a way may take."""
NAMES = [f"x{j}" for j in range(COLUMNS)]
TRAINED = {"optimizer": gn.Adam(1e-3), "epochs": 1}


# ---- the data -----------------------------------------------------------------------------------------------------


def write(folder: Path, rows: int) -> None:
    """Write the same rows as X.npy, Y.npy and rows.parquet, in blocks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (rows, COLUMNS))
    Y = np.lib.format.open_memmap(folder / "Y.npy", "w+", np.float32, (rows, 1))
    schema = pa.schema([(name, pa.float32()) for name in [*NAMES, "y"]])
    with pq.ParquetWriter(folder / "rows.parquet", schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, rows, BLOCK):
            x = rng.standard_normal((min(BLOCK, rows - start), COLUMNS), np.float32)
            y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
            X[start : start + BLOCK], Y[start : start + BLOCK] = x, y
            writer.write_table(pa.table([*x.T.copy(), y[:, 0]], schema=schema))


def mapped(folder: Path) -> tuple[Any, Any]:
    return np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "Y.npy", mmap_mode="r")


# ---- the ways -----------------------------------------------------------------------------------------------------


def network() -> tuple[gn.Objective, Any]:
    net = gn.Network(COLUMNS, [gn.Dense(32, "relu"), gn.Dense(1)])
    return gn.Objective(net, "squared_error"), net.init(rng=0).astype(np.float32)


def train(folder: Path, engine: str) -> str:
    return gn.train(*network(), *mapped(folder), batch_size=256, engine=engine, **TRAINED).status


def train_mapped_batches(folder: Path, engine: str) -> str:
    batches = gn.cut_batches(*mapped(folder))
    return gn.train_batches(*network(), batches, batch_size=256, engine=engine, **TRAINED).status


def train_parquet(folder: Path, engine: str) -> str:
    batches = gn.read_batches(folder / "rows.parquet", "y")
    return gn.train_batches(*network(), batches, batch_size=256, engine=engine, **TRAINED).status


def fit(folder: Path, engine: str) -> str:
    X, Y = mapped(folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Maximum iterations")  # there is one
        return (
            gn.MLPRegressor(hidden_layer_sizes=(32,), batch_size=256, max_iter=1, engine=engine, random_state=0)
            .fit(X, Y[:, 0])
            .status_
        )


def partial_fit(folder: Path, engine: str) -> str:
    model = gn.MLPRegressor(hidden_layer_sizes=(32,), batch_size=256, engine=engine, random_state=0)
    for X, Y in gn.read_batches(folder / "rows.parquet", "y"):
        model.partial_fit(X, Y[:, 0])
    return model.status_


def holds_the_data(folder: Path, engine: str) -> str:
    """The planted fault: a copy of all rows."""
    X, Y = (np.array(array) for array in mapped(folder))
    return gn.train(*network(), X, Y, batch_size=256, engine=engine, **TRAINED).status


WAYS: dict[str, Callable[[Path, str], str]] = {
    "train(memmap)": train,
    "train_batches(cut_batches(memmap))": train_mapped_batches,
    "train_batches(read_batches(parquet))": train_parquet,
    "MLPRegressor.fit(memmap)": fit,
    "partial_fit of read_batches(parquet)": partial_fit,
}
FAULTS = {"a copy of all rows (planted)": holds_the_data}


# ---- a process of its own -------------------------------------------------------------------------------------------


def anonymous() -> float:
    """Return the bytes of anonymous memory that this process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024.0 * int(line.split()[1])
    raise OSError("this system has no RssAnon in /proc/self/status")


def resident() -> float:
    """Return the most bytes that were ever resident."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(way: str, engine: str, folder: Path) -> dict[str, Any]:
    """Run one way here, and return its peaks in MB."""
    import numba  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    before, before_all = anonymous(), resident()
    peak, done = [before], threading.Event()

    def sample() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous())

    watch = threading.Thread(target=sample, daemon=True)
    watch.start()
    begin = time.perf_counter()
    status = (WAYS | FAULTS)[way](folder, engine)
    seconds = time.perf_counter() - begin
    done.set()
    watch.join()
    return {
        "way": way, "engine": engine, "status": status, "seconds": seconds,
        "own": (max(peak[0], anonymous()) - before) / MB, "resident": (resident() - before_all) / MB,
    }  # fmt: skip


def alone(way: str, engine: str, folder: Path) -> dict[str, Any]:
    """Run one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large", "--one", way, "--engine", engine, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}, {engine}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--engine", choices=("numba", "numpy"), help="default: both")
    parser.add_argument("--folder", type=Path, help="where the files go; default: the system's temporary folder")
    parser.add_argument("--one", metavar="WAY", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.engine, args.folder)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder, needed = Path(name), 2.1 * 4 * args.rows * (COLUMNS + 1)
        if (free := shutil.disk_usage(folder).free) < 2 * needed:
            raise SystemExit(f"{needed / 1e9:.1f} GB are to be written, and only {free / 1e9:.1f} GB are free.")
        subprocess.run(
            [sys.executable, "-c", f"from benchmarks import large; large.write(large.Path({name!r}), {args.rows})"],
            check=True,
        )
        sizes = ", ".join(f"{file.name} {file.stat().st_size / MB:,.0f} MB" for file in sorted(folder.iterdir()))
        print(f"{args.rows:,} rows x {COLUMNS} columns, float32: {sizes}; one epoch\n", flush=True)
        print("| way | engine | own, MB | resident, MB | seconds | |\n| --- | --- | --- | --- | --- | --- |")
        worst = 0.0
        for way in WAYS | FAULTS:
            for engine in ("numba", "numpy") if args.engine is None else (args.engine,):
                if way in FAULTS and engine == "numpy" and args.engine is None:
                    continue
                found = alone(way, engine, folder)
                worst = max(worst, found["own"] if way in WAYS else 0.0)
                numbers = f"{found['own']:,.0f} | {found['resident']:,.0f} | {found['seconds']:.1f}"
                print(f"| {way} | {engine} | {numbers} | {found['status']} |", flush=True)
    print(f"\nthe most that a way takes: {worst:,.0f} MB of its own; the limit is {LIMIT:,.0f} MB")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
