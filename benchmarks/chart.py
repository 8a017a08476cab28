"""The chart: time of a step of every contestant, a panel for each workload and number of cores."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.report import number

COLOURS = {"glassnet": "#d1495b", "peer": "#5b7c99", "bound": "#c3ccd4"}
LABELS = {"glassnet": "glassnet", "peer": "other libraries", "bound": "bounds: bare products, one pass of the rule"}


def panels(report: dict) -> list[tuple[dict, int]]:
    """Return (workload, cores), the numbers of cores of a workload side by side."""
    found: dict[str, list[tuple[dict, int]]] = {}
    for session in report["sessions"]:
        for name, timings in session.get("workloads", {}).items():
            found.setdefault(name, []).append((timings, session["cores"]))
    return [panel for group in found.values() for panel in group]


def draw(report: dict, file: Path) -> None:
    """Write the chart of a report; one without workloads has none."""
    if not (shown := panels(report)):
        print("--chart draws workloads; there are none in this run")
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    rows = -(-len(shown) // 2)
    most = max(len(timings["micros"]) for timings, _ in shown)
    height = 0.9 + 0.27 * most
    figure, axes = plt.subplots(rows, 2, figsize=(14, rows * height + 1.2), squeeze=False, layout="constrained")
    for axis, (timings, cores) in zip(axes.flat, shown, strict=False):
        panel(axis, timings, cores)
        axis.set_ylim(len(timings["micros"]) - 0.4 - most, len(timings["micros"]) - 0.4)  # bars of one height
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    figure.suptitle(f"{report['date']}; {report['machine']}", fontsize=10)
    handles = [Patch(color=COLOURS[kind], label=label) for kind, label in LABELS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, dpi=110)
    plt.close(figure)
    print(f"wrote {file}")


def ratio(micros: dict[str, list[float]], name: str) -> float:
    """The median over the repetitions of how many times glassnet's time it takes, as in the tables."""
    return statistics.median(a / b for a, b in zip(micros[name], micros["glassnet"], strict=True))


def panel(axis, timings: dict, cores: int) -> None:
    """Draw one workload: medians as bars, lowest and highest as whiskers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    scale, unit = (1e6, "seconds") if timings["steps"] == 1 else (1.0, "microseconds a step")
    middle = {name: statistics.median(values) / scale for name, values in timings["micros"].items()}
    names = sorted(middle, key=lambda name: (timings["kinds"][name] != "bound", -middle[name]))
    values = [middle[name] for name in names]
    spread = [[min(timings["micros"][name]), max(timings["micros"][name])] for name in names]
    whiskers = [
        [value - low / scale for value, (low, _) in zip(values, spread, strict=True)],
        [high / scale - value for value, (_, high) in zip(values, spread, strict=True)],
    ]
    colours = [COLOURS[timings["kinds"][name]] for name in names]
    axis.barh(names, values, color=colours, height=0.7, xerr=whiskers, error_kw={"lw": 1, "ecolor": "#333333"})
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlim(min(values) / 3, max(high for _, high in spread) / scale * 3)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        times = "" if name == "glassnet" else f"  ({number(ratio(timings['micros'], name))} x)"
        axis.text(
            max(value, spread[place][1] / scale) * 1.08, place, f"{number(value)}{times}", va="center", fontsize=8
        )
    axis.set_title(f"{timings['title']}; {cores} core{'s' * (cores > 1)}", fontsize=9, loc="left")
    axis.set_xlabel(unit, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
