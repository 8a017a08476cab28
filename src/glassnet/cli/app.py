"""The commands and their options; each calls one function and prints what it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from glassnet import __version__

__all__ = ["UsageError", "app"]

app = typer.Typer(
    name="glassnet",
    help="A neural network you can see through: train on a table or a known data set, see every number.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # with it, help texts lose what stands in brackets
)

# click's class for arguments that cannot be parsed; newer typers keep click in a private package
UsageError: Any = typer.BadParameter.__base__


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"expected a whole number, received {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"expected a number, received {text!r}") from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glassnet {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def glassnet(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command()
def fit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE", help="A data set (digits, iris, ...) or a CSV, TSV, Parquet or JSON lines file."
        ),
    ],
    target: Annotated[
        str | None, typer.Option(metavar="COL", help="The column to predict. [default: the last one]")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="classification or regression. [default: decided from the target, and said]"),
    ] = None,
    hidden: Annotated[str, typer.Option(metavar="50,50", help="Units of the hidden layers; 0 for none.")] = "100",
    activation: Annotated[str, typer.Option(metavar="NAME", help="Activation of the hidden layers.")] = "relu",
    solver: Annotated[
        str, typer.Option(metavar="NAME", help="A rule (adam, sgd, ...) or a solver (lbfgs, lm, ...).")
    ] = "adam",
    learning_rate: Annotated[
        float,
        typer.Option(metavar="RATE", parser=_number, help="First rate of a rule; it falls along a cosine to 0."),
    ] = 0.01,
    epochs: Annotated[
        int, typer.Option(metavar="N", parser=_whole, help="At most so many epochs (iterations of a solver).")
    ] = 100,
    batch_size: Annotated[int, typer.Option(metavar="N", parser=_whole, help="Rows a step.")] = 32,
    l2: Annotated[
        float | None,
        typer.Option(
            metavar="L2", parser=_number, help="Penalty l2/2 |W|^2. [default: 0.001 for classes, 0.01 for numbers]"
        ),
    ] = None,
    test_size: Annotated[
        float, typer.Option(metavar="SHARE", parser=_number, help="Share of the rows held out for the result.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", parser=_whole, help="Seed of split, start and order.")] = 0,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Folder for the results. [default: runs/NAME]")] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="What evaluates the network.")] = "auto",
) -> None:
    """Train a network on a data set or a table and write a report.

    Example: glassnet fit houses.csv --target price --hidden 50,50

    A folder that exists is never written into: runs/houses, runs/houses-2, ... Ctrl-C keeps what was learned so far.
    """
    from glassnet.cli.fitting import fit_and_write
    from glassnet.cli.records import FitConfig

    config = FitConfig(
        source=source, target=target, task=task, hidden=FitConfig.parse_hidden(hidden), activation=activation,
        solver=solver, learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, l2=l2, test_size=test_size,
        seed=seed, out=out, engine=engine,
    )  # fmt: skip
    # not typer.Exit: `main` must tell an interrupted fit, whose folder is written, from a command that was cut off
    raise SystemExit(fit_and_write(config))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `glassnet fit` wrote.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rows to predict: a table with the same columns.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="Write here instead of printing.")
    ] = None,
) -> None:
    """Predict the rows of a table with a trained network.

    Example: glassnet predict runs/houses new.csv -o predicted.csv
    """
    from glassnet.cli.predicting import predict_and_write

    predict_and_write(run, file, output)


@app.command()
def show(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `glassnet fit` wrote.")]) -> None:
    """Show what a run was, how it ended and how good it is."""
    from glassnet.cli.predicting import show_run

    show_run(run)


@app.command()
def gallery(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One experiment; left out: list them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all experiments into one page.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of starts, draws and orders.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller versions, a few seconds each.")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for pictures and page. [default: gallery]")
    ] = None,
) -> None:
    """Run known lessons about neural networks, each beside its published figures.

    Example: glassnet gallery gates
    """
    from glassnet.cli.showing_gallery import list_gallery, run_gallery
    from glassnet.gallery import NAMES

    if name is None and not every:
        list_gallery()
        return
    names = NAMES if name is None else (name,)
    raise typer.Exit(run_gallery(names, seed, quick, save, page=every))


@app.command()
def pde(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An equation; left out: list them.")] = None,
    dim: Annotated[
        int | None, typer.Option(metavar="D", parser=_whole, help="Dimensions. [default: as published]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", parser=_whole, help="Time steps. [default: as published]")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="K", parser=_whole, help="Runs; their spread is the error bar.")] = 3,
    iterations: Annotated[
        int | None, typer.Option(metavar="M", parser=_whole, help="Iterations. [default: as published]")
    ] = None,
    other_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=_whole, help="Once more with so many steps, for their error; 0: no. [default: half]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", parser=_whole, help="The first seed.")] = 0,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="float32 or float64.")] = "float64",
    save: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the picture. [default: pde]")] = None,
) -> None:
    """Solve an equation in many dimensions by the deep BSDE method.

    Example: glassnet pde hjb --dim 100
    """
    from glassnet.cli.equations import list_equations, solve_and_show

    if name is None:
        list_equations()
        return
    raise typer.Exit(solve_and_show(name, dim, steps, seeds, iterations, other_steps, seed, dtype, save))


@app.command()
def warmup() -> None:
    """Compile ahead what the fast engine needs (once; kept on disk)."""
    from glassnet.cli.warming_up import warm_up_and_say

    warm_up_and_say()
