"""`glassnet gallery`: list the lessons, run one, or run all into one page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from glassnet import gallery
from glassnet.cli.printing import console, fits
from glassnet.cli.run_folder import versions
from glassnet.errors import GlassnetError, fault
from glassnet.gallery.experiment import Experiment, Row
from glassnet.gallery.page import render
from glassnet.persistence import atomic_write

__all__ = ["list_gallery", "run_gallery"]

MARKS = {True: "yes", False: "[bold red]NO[/bold red]", None: ""}
"""Whether a figure agrees."""


def list_gallery() -> None:
    """Print each experiment with its question."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in gallery.NAMES:
        table.add_row(f"[bold]{name}[/bold]", escape(gallery.get(name).QUESTION))
    out = console()
    out.print(table)
    out.print("\nrun one: glassnet gallery NAME   |   all into one page: glassnet gallery --all --save DIR")


def run_gallery(names: Sequence[str], seed: int, quick: bool, save: Path | None, page: bool) -> int:
    """Run experiments, print their tables, write pictures (and the page); return 1 where a figure does not agree."""
    modules = {name: gallery.get(name) for name in names}
    folder = _folder(save)
    results: dict[str, Experiment] = {}
    missing = []
    for number, (name, module) in enumerate(modules.items(), 1):
        print(f"[{number}/{len(modules)}] {name}: {module.TITLE} ...", file=sys.stderr, flush=True)
        begin = perf_counter()
        try:
            result: Experiment = module.run(seed=seed, quick=quick)
        except GlassnetError as error:  # a lesson whose data are not here costs the others nothing
            if len(modules) == 1:
                raise
            missing.append(f"{name}: {error}")
            continue
        results[name] = result
        print_experiment(name, result, perf_counter() - begin)
        result.figure.savefig(folder / f"{name}.png", dpi=130)
        console().print(f"picture    {folder / f'{name}.png'}", soft_wrap=True)
    if page:
        said = ", ".join(f"{name} {version}" for name, version in versions().items())
        atomic_write(folder / "index.html", render(results, said).encode())
        console().print(f"\npage       {folder / 'index.html'}", soft_wrap=True)
    for line in missing:
        console().print(f"not run    {escape(line)}", soft_wrap=True)
    return 1 if missing or not all(result.agrees for result in results.values()) else 0


def print_experiment(name: str, result: Experiment, seconds: float) -> None:
    """Print title, question, the table of figures and what is to be seen."""
    out = console()
    out.print(f"\n[bold]{escape(result.title)}[/bold]  ({name}, {seconds:.1f} s)\n{escape(result.question)}\n")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("figure")
    for column in ("ours", "expected", "agrees"):
        table.add_column(column, justify="right")
    for row in result.rows:
        table.add_row(escape(row.name), escape(row.ours), escape(row.expected), MARKS[row.agrees])
    if fits(out, table):
        out.print(table)
    else:
        print_stacked(out, result.rows)
    out.print()
    for note in result.notes:
        out.print(escape(note))


def print_stacked(out: Console, rows: Sequence[Row]) -> None:
    """Print figures for a narrow terminal: each on a line of its own, and what it is below it."""
    for row in rows:
        expected = f" (expected {row.expected})" if row.expected else ""
        agrees = f"  {MARKS[row.agrees]}" if row.agrees is not None else ""
        out.print(escape(row.name), style="bold")
        out.print(Padding(f"{escape(row.ours)}[dim]{escape(expected)}[/dim]{agrees}", (0, 0, 0, 4)))


def _folder(save: Path | None) -> Path:
    folder = Path("gallery") if save is None else save
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fault("--save", "a folder that can be made", f"{folder} ({error.strerror})") from error
    return folder
