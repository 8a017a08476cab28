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


# what `fit` and `search` are told in the same words
SOURCE = typer.Argument(
    metavar="NAME|FILE", help="A data set (digits, iris, ...) or a CSV, TSV, Parquet or JSON lines file."
)
Target = Annotated[str | None, typer.Option(metavar="COL", help="The column to predict. [default: the last one]")]
Task = Annotated[
    str | None,
    typer.Option(metavar="TASK", help="classification or regression. [default: decided from the target, and said]"),
]
TestSize = Annotated[
    float, typer.Option(metavar="SHARE", parser=_number, help="Share of the rows held out for the result.")
]


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
    context: typer.Context,
    source: Annotated[str | None, SOURCE] = None,
    target: Target = None,
    task: Task = None,
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
    test_size: TestSize = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", parser=_whole, help="Seed of split, start and order.")] = 0,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Folder for the results. [default: runs/NAME]")] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="What evaluates the network.")] = "auto",
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run that broke off: its folder. Its options are taken again."),
    ] = None,
) -> None:
    """Train a network on a data set or a table and write a report.

    Example: glassnet fit houses.csv --target price --hidden 50,50

    A folder that exists is never written into: runs/houses, runs/houses-2, ... Ctrl-C keeps what was learned so far.
    A run that is killed leaves runs/houses.unfinished: glassnet fit --resume runs/houses ends as if nothing had been.
    """
    from glassnet.cli.fitting import fit_and_write
    from glassnet.cli.records import FitConfig
    from glassnet.cli.run_folder import RunFolder

    if source is None and resume is None:
        raise UsageError("Missing argument 'NAME|FILE'.", ctx=context)
    folder, before = (None, None) if resume is None else RunFolder.again(resume)
    config = FitConfig(
        source=source or "", target=target, task=task, hidden=FitConfig.parse_hidden(hidden), activation=activation,
        solver=solver, learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, l2=l2, test_size=test_size,
        seed=seed, out=out, engine=engine,
    )  # fmt: skip
    if before is not None:
        config.check_same({name for name in vars(config) if _is_given(context, name)}, before)
    # not typer.Exit: `main` must tell an interrupted fit, whose folder is written, from a command that was cut off
    raise SystemExit(fit_and_write(before or config, folder))


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@app.command()
def search(
    source: Annotated[str, SOURCE],
    target: Target = None,
    task: Task = None,
    width: Annotated[str, typer.Option(metavar="20,50", help="Units of each hidden layer.")] = "100",
    depth: Annotated[str, typer.Option(metavar="1,2", help="Hidden layers of that width.")] = "1",
    learning_rate: Annotated[
        str | None, typer.Option(metavar="0.01,0.1", help="First rates. [default: 0.001,0.003,0.01,0.03]")
    ] = None,
    l2: Annotated[str | None, typer.Option(metavar="0,0.1", help="Penalties. [default: 0.0001,0.001,0.01,0.1]")] = None,
    batch_size: Annotated[str, typer.Option(metavar="32,128", help="Rows a step.")] = "32",
    activation: Annotated[str, typer.Option(metavar="relu,tanh", help="Activations of the hidden layers.")] = "relu",
    solver: Annotated[str, typer.Option(metavar="NAME", help="One rule or solver for all settings.")] = "adam",
    epochs: Annotated[int, typer.Option(metavar="N", parser=_whole, help="At most so many epochs a fit.")] = 100,
    cv: Annotated[int, typer.Option(metavar="K", parser=_whole, help="Folds of the training rows.")] = 5,
    test_size: TestSize = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", parser=_whole, help="Seed of split, folds, starts and order.")] = 0,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder for the results. [default: runs/search-NAME]")
    ] = None,
) -> None:
    """Try every combination of the listed values by cross-validation; train and keep the best.

    Example: glassnet search houses.csv --target price --width 20,50,100 --l2 0.001,0.01,0.1

    Lists have commas and no spaces. The held-out rows take no part in the choice. Ctrl-C keeps the standings so far.
    """
    from glassnet.cli.records import FitConfig
    from glassnet.cli.search_space import SearchConfig, parse_list
    from glassnet.cli.searching import search_and_write

    numbers = {"--learning-rate": learning_rate, "--l2": l2}
    rates, penalties = (
        () if text is None else parse_list(option, text, float, "0.01,0.1") for option, text in numbers.items()
    )
    config = SearchConfig(
        FitConfig(source=source, target=target, task=task, solver=solver, epochs=epochs, test_size=test_size,
                  seed=seed, out=out),
        parse_list("--width", width, int, "20,50"), parse_list("--depth", depth, int, "1,2"), rates, penalties,
        parse_list("--batch-size", batch_size, int, "32,128"), parse_list("--activation", activation, str, "relu,tanh"),
        cv,
    )  # fmt: skip
    raise SystemExit(search_and_write(config))


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
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `glassnet fit` wrote.")],
    format: Annotated[
        str | None, typer.Option(metavar="onnx|c|numpy", help="What to write. [default: by the ending of --output]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here. [default: model.onnx, .c or .py in RUN]"),
    ] = None,
) -> None:
    """Write a trained network as ONNX, as one file of C99, or as one file of Python that needs NumPy alone.

    Example: glassnet export runs/houses --format c -o houses.c
    """
    from glassnet.cli.exporting import export_and_say

    export_and_say(run, format, output)


@app.command()
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `glassnet fit` wrote.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check gradient, engines, file and exports of this very model.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its rows, where they have moved (with --verify).")
    ] = None,
) -> None:
    """Show what a run was, how it ended and how good it is; with --verify whether all of it is computed rightly."""
    from glassnet.cli.predicting import show_run

    show_run(run)
    if verify:
        from glassnet.cli.verifying import verify_run

        raise SystemExit(verify_run(run, data))
    if (run / "certificate.json").is_file():
        from glassnet.cli.verifying import show_certificate

        show_certificate(run)


@app.command()
def doctor(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `glassnet fit` wrote.")],
    data: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="The data of the run. [default: where they were]")
    ] = None,
    try_remedies: Annotated[
        bool, typer.Option("--try", help="Try the remedies on copies and show both curves.")
    ] = False,
) -> None:
    """Say why a network does not learn: the cause first, the evidence in numbers, and what to change.

    Example: glassnet doctor runs/houses --try

    Exit code 0 for a healthy run, 1 where something was found.
    """
    from glassnet.cli.consulting import consult

    raise typer.Exit(consult(run, data, try_remedies))


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
    raise SystemExit(solve_and_show(name, dim, steps, seeds, iterations, other_steps, seed, dtype, save))


@app.command()
def warmup(
    pde: Annotated[bool, typer.Option("--pde", help="Also what `glassnet pde` needs.")] = False,
) -> None:
    """Compile ahead what the fast engine needs (once; kept on disk)."""
    from glassnet.cli.warming_up import warm_up_and_say

    warm_up_and_say(pde)
