"""How the cost grows: time of a step and peak memory, with the width of the layers, the batch and the number of rows.

Started by `python -m benchmarks --growth`. Random data with 64 columns and ten classes, ReLU, softmax, plain SGD,
float32, rows shuffled by glassnet. Every point is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.growth_point import MAKERS
from benchmarks.report import number
from benchmarks.session import best_engine

POWERS = [2**k for k in range(13)]
SERIES = {
    "width": [{"sizes": [64, w, w, 10], "batch": 128, "rows": 2560} for w in POWERS if 16 <= w <= 2048],
    "batch": [{"sizes": [64, 50, 10], "batch": b, "rows": 8192} for b in POWERS[::2]],
    "rows": [{"sizes": [64, 50, 10], "batch": 100, "rows": 10**k} for k in (3, 4, 5, 6)],
}
TITLES = {
    "width": "width w of 64-w-w-10, batch 128, 2,560 rows",
    "batch": "batch of 64-50-10, 8,192 rows",
    "rows": "rows for 64-50-10, batch 100",
}
QUICK = {"width": (16, 256, 2048), "batch": (1, 64, 4096), "rows": (10**3, 10**5)}


def value(series: str, point: dict) -> int:
    return {"width": point["sizes"][1], "batch": point["batch"], "rows": point["rows"]}[series]


def at(point: dict, name: str, options: dict) -> dict:
    """Measure one point with one contestant."""
    chosen = {**point, "contestant": name, "engine": options["engine"], "cores": options["cores"]}
    command = [sys.executable, "-m", "benchmarks.growth_point", json.dumps(chosen)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def line(series: str, point: dict, found: dict[str, dict]) -> str:
    first = next(iter(found.values()))
    cells = [f"{number(p['microseconds']):>10}{number(p['microseconds'] / point['batch']):>9}" for p in found.values()]
    peaks = [f"{p['peak'] / 2**20:>13.1f}" for p in found.values()]
    ends = f"{first['allowed'] / 2**20:>9.2f}{first['data'] / 2**20:>9.1f}"
    return f"{value(series, point):>9}{''.join(cells)}  |{''.join(peaks)}{ends}"


def head(names: list[str]) -> str:
    times = "".join(f"{name:>19}" for name in names)
    peaks = "".join(f"{name:>13}" for name in names)
    units = f"{'step us':>10}{'row us':>9}" * len(names)
    return f"{'':9}{times}  |{peaks}{'allowed':>9}{'data':>9}\n{'':9}{units}  | peak memory over the data, MiB"


def main() -> None:
    options = json.loads(sys.argv[1])
    options["engine"] = options["engine"] or best_engine()
    names = [name for name in MAKERS if name != "numpy engine" or options["engine"] != "numpy"]
    print(f"glassnet's engine: {options['engine']}; allowed: twice theta and one batch", flush=True)
    growth: dict[str, list[dict]] = {}
    for series, points in SERIES.items():
        print(f"\n{TITLES[series]}; {options['cores']} core{'s' * (options['cores'] > 1)}\n{head(names)}", flush=True)
        for point in points:
            if options["quick"] and value(series, point) not in QUICK[series]:
                continue
            found = {name: at(point, name, options) for name in names}
            print(line(series, point, found), flush=True)
            growth.setdefault(series, []).append({**point, "contestants": found})
    Path(options["result"]).write_text(json.dumps({**options, "growth": growth}))


if __name__ == "__main__":
    main()
