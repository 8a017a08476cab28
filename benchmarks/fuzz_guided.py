"""Let atheris steer the bytes of a door by the code that they reach: `python -m benchmarks.fuzz --atheris --door D`.

atheris (libFuzzer for Python) changes bytes that it knows, and keeps those that reach new code. What of glassnet reads
files and words is instrumented; what Numba compiles is not, for it must stay as it is written. An escape is written
into the folder `found` and the run goes on; `--bytes FILE` runs its case again, without atheris.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

MISSING = (
    "--atheris must find the package atheris, received none. pip install atheris (it has wheels for Linux); "
    "without it: python -m benchmarks.fuzz --door {door}"
)
OURS = ("sealed", "persistence", "checkpoints", "table_files", "tables", "errors", "registry", "records", "layout",
        "network", "layers", "resuming", "cli", "export", "search")  # fmt: skip
THEIRS = ("safetensors.numpy", "skops.io", "zipfile", "gzip", "csv", "json")
COMPILED = ("activations", "losses", "rules", "clipping", "optimizers", "schedules", "initializers", "engines")
"""What Numba compiles, or is near it."""
FOUND = Path("found")


def guided(door: str, cases: int, seconds: float, seed: int, limited: Callable[[Callable[[], str]], str]) -> None:
    """Run cases until there are enough, or time is up; print how they ended and leave the process: 1 after an escape.

    `limited` calls a function, ends it where it takes too long, and says how the case ended.
    """
    if find_spec("atheris") is None:
        raise SystemExit(MISSING.format(door=door))
    import atheris

    excluded = [f"glassnet.{name}" for name in (*COMPILED, *under("engines"), *under("pde"), *under("gallery"))]
    with atheris.instrument_imports(include=["glassnet", *THEIRS], exclude=excluded):
        for name in (*(f"glassnet.{name}" for name in (*OURS, *under("cli"), *under("export"))), *THEIRS):
            import_module(name)
        from benchmarks.fuzz_doors import guided as doors

    ends, begin, places = Counter[str](), perf_counter(), set[str]()

    def case(data: bytes) -> None:
        if sum(ends.values()) >= cases or perf_counter() - begin > seconds:
            finish(door, ends, perf_counter() - begin)
        try:
            ends[limited(lambda: doors.one(door, data))] += 1
        except BaseException as error:  # noqa: BLE001  (whatever it is: it escaped)
            if isinstance(error, KeyboardInterrupt):
                finish(door, ends, perf_counter() - begin)
            ends["escaped"] += 1
            report(door, data, error, places)

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for i, data in enumerate(doors.seeds(door)):
            (corpus / f"{i:03d}").write_bytes(data)
        Path(folder, "words").write_text("".join(map(entry, sorted(doors.words(door)))))
        options = [f"-dict={folder}/words", f"-seed={seed + 1}", "-timeout=0", "-rss_limit_mb=0", "-max_len=20000",
                   "-len_control=20", "-verbosity=0"]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, str(corpus)], case, enable_python_coverage=True)
        atheris.Fuzz()


def under(package: str) -> list[str]:
    """Return the names of the modules of a package of glassnet, found without an import."""
    folder = Path(__file__).parents[1] / "src" / "glassnet" / package
    return [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]


def entry(word: str) -> str:
    """Return a word as a line of libFuzzer's dictionaries."""
    quoted = "".join(f"\\x{byte:02x}" for byte in word.encode()[:60])
    return f'"{quoted}"\n' if quoted else ""


def report(door: str, data: bytes, error: BaseException, places: set[str]) -> None:
    """Keep the bytes and say what happened, once for each place in the code and kind of message."""
    frames = traceback.extract_tb(error.__traceback__)
    said = re.sub(r"/tmp/\w+", "", str(error))[:60]  # folders have names of their own
    place = f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno} {said}"
    if place in places:
        return
    places.add(place)
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{door}-{len(places)}"
    path.write_bytes(data)
    print(f"{door} --bytes {path}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print("    " + "".join(traceback.format_tb(error.__traceback__))[-1500:].replace("\n", "\n    "), flush=True)


def finish(door: str, ends: Counter[str], seconds: float) -> None:
    """Say how the cases ended and leave: libFuzzer takes a plain exit for a fault."""
    said = ", ".join(f"{name} {count:,}" for name, count in sorted(ends.items()))
    print(f"{door}, steered: {sum(ends.values()):,} cases: {said}; {seconds:.0f} s", flush=True)
    os._exit(1 if ends["escaped"] else 0)
