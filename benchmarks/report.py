"""What is printed: a table for each workload, and the figures that are wanted."""

from __future__ import annotations

from benchmarks.timing import Timings


def number(value: float) -> str:
    """Three digits, or more where the number is larger."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def table(timings: Timings, cores: int) -> str:
    """Contestants from the fastest to the slowest, then the bounds."""
    unit, scale = ("s", 1e6) if timings.steps == 1 else ("us a step", 1.0)
    lines = ["", f"{timings.title}; {cores} core{'s' * (cores > 1)}"]
    lines += [f"  {'contestant':26} {unit:>10}  {'lowest .. highest':>22}  {'x glassnet':>10}  note"]
    names = sorted(timings.micros, key=lambda name: (timings.kinds[name] == "bound", timings.median(name)))
    for name in names:
        values = timings.micros[name]
        spread = f"{number(min(values) / scale)} .. {number(max(values) / scale)}"
        ratio = f"{number(timings.ratio(name, 'glassnet')):>10}" if "glassnet" in timings.micros else f"{'':>10}"
        middle = number(timings.median(name) / scale)
        lines.append(f"  {name:26} {middle:>10}  {spread:>22}  {ratio}  {timings.ways.get(name, '')}".rstrip())
    for rows in (("products",), ("products", "rule")):
        if all(name in timings.micros for name in rows):
            lines.append(f"  glassnet takes {timings.ratio('glassnet', *rows):.2f} x {' + '.join(rows)}")
    if timings.steps > 1 and timings.title.startswith("grid"):
        whole = [f"{name} {number(timings.median(name) * timings.steps / 1e6)} s" for name in names]
        lines.append(f"  the whole grid: {', '.join(whole)}")
    lines += [f"  {name} takes no part: {reason}" for name, reason in timings.absent.items()]
    return "\n".join(lines)


def summary(rows: list[dict[str, object]]) -> str:
    """The figures that are wanted, the measured ones beside them."""
    lines = ["", f"{'workload':12} {'cores':>5}  {'wanted':42} {'measured':>9}  reached"]
    for row in rows:
        measured = "-" if row["measured"] is None else number(float(str(row["measured"])))
        reached = {True: "yes", False: "NO", None: "-"}[row["reached"]]
        remark = f" ({row['remark']})" if row["remark"] else ""
        lines.append(f"{row['workload']:12} {row['cores']:>5}  {row['wanted']:42} {measured:>9}  {reached}{remark}")
    return "\n".join(lines)
