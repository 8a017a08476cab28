"""`glassnet search`: fit every setting to every fold, show the standings, and keep the winner as a run."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline

from glassnet import search
from glassnet.cli import printing
from glassnet.cli.fitting import SplitRows, fit, make_model, split_rows
from glassnet.cli.measuring import evaluation
from glassnet.cli.printing import say
from glassnet.cli.records import FitConfig, Fitted
from glassnet.cli.run_folder import RunFolder, command_line, write_json
from glassnet.cli.search_space import SearchConfig, axis_value
from glassnet.cli.sources import Source, open_source
from glassnet.cli.standings import SHOWN, Standing, Standings
from glassnet.errors import GlassnetError

__all__ = ["search_and_write"]

FILES = "search.csv", "search.png", "search.json"
VARIED = ("hidden_layer_sizes", "activation", "solver", "alpha", "batch_size")
"""What the settings differ in, as arguments of the estimator."""


def search_and_write(config: SearchConfig) -> int:
    """Do everything; return the exit code."""
    source = open_source(config.base.source, config.base.target, config.base.task)
    part = split_rows(source, config.base)
    folds, note = _folds(source, part, config)
    settings, score_name = config.settings(), "r2" if source.kind == "regression" else "accuracy"
    with RunFolder.reserve(config.base.out, f"search-{source.name}") as folder:
        printing.print_source(source)
        n = folds.get_n_splits()
        rows = printing.counted(len(part.X), "training row")
        say(f"search     {len(settings):,} settings x {n} folds of {rows}{note}")
        say()
        with Standings(settings, n, score_name) as standings:
            ending = _fit_all(standings, source, part, folds)
        print_standings(standings, ending)
        if not standings.complete:
            raise GlassnetError(ending.reason or "no setting has a score for each fold; see the notes above.")
        _write_files(folder.partial, standings, config)
        if ending.interrupted:
            path = folder.keep()
            say(f"Interrupted; the standings so far are in {path}. Nothing was trained on all rows.")
            return 130
        fitted = _fit_winner(standings.complete[0].setting, source, part)
        measured = evaluation(fitted)
        printing.print_result(fitted, measured)
        path = folder.write(fitted, measured)
    say()
    say(f"standings  {path / FILES[0]}, {path / FILES[1]}")
    printing.print_ending(fitted, path)
    return 130 if fitted.interrupted else 1 if fitted.estimator.status_ == "diverged" else 0


@dataclass(frozen=True)
class Ending:
    """How the fits ended: `notes` are what libraries warned of."""

    seconds: float
    interrupted: bool = False
    reason: str = ""
    notes: tuple[str, ...] = ()


def _folds(source: Source, part: SplitRows, config: SearchConfig) -> tuple[Any, str]:
    """Return shuffled folds (of equal shares of the classes where they have rows enough), and what to say of them."""
    if config.cv > len(part.X) // 2:
        remedy = f"Take at most --cv {len(part.X) // 2}."
        raise GlassnetError(f"--cv must leave two rows in each fold, received {config.cv} for {len(part.X)}. {remedy}")
    shuffled: dict[str, Any] = {"n_splits": config.cv, "shuffle": True, "random_state": config.base.seed}
    if source.kind != "classification":
        return KFold(**shuffled), ""
    if np.unique(part.y, return_counts=True)[1].min() < config.cv:
        return KFold(**shuffled), "; a class has fewer rows than folds, so that shares of classes differ"
    return StratifiedKFold(**shuffled), ""


def _fit_all(standings: Standings, source: Source, part: SplitRows, folds: Any) -> Ending:
    """Fit every setting to every fold; each score goes into the standings as soon as it is known."""
    settings = [line.setting for line in standings.lines]
    rows = len(part.X) - len(part.X) // standings.folds  # of a fold's training part: rate and penalty count them
    pipeline = make_model(source, settings[0], part)
    prefix = _place(pipeline)
    pipeline.set_params(**{f"{prefix}callbacks": None})
    spaces = [_space(prefix, setting, source.kind, rows) for setting in settings]
    watch = Watch(standings, spaces, get_scorer(standings.score_name))
    begin, interrupted = perf_counter(), False
    with warnings.catch_warnings(record=True) as caught:  # shown below, each once, as notes
        warnings.simplefilter("always")
        try:
            search.grid(pipeline, [{name: [value] for name, value in space.items()} for space in spaces],
                        part.X, part.y, cv=folds, scoring=watch, refit=False)  # fmt: skip
        except KeyboardInterrupt:
            interrupted = True
        except ValueError as error:  # every fit failed: scikit-learn's sentence holds the first error
            return Ending(perf_counter() - begin, reason=_last_line(error))
    failed = [_last_line(w.message) for w in caught if "FitFailed" in w.category.__name__]
    return Ending(perf_counter() - begin, interrupted, notes=tuple(dict.fromkeys(failed)))


@dataclass(frozen=True)
class Watch:
    """A scorer that also tells the standings."""

    standings: Standings
    spaces: list[dict[str, Any]]
    scorer: Any

    def __call__(self, pipeline: Pipeline, X: Any, y: Any) -> float:
        """Return the score of a fitted pipeline."""
        score = float(self.scorer(pipeline, X, y))
        own = pipeline.get_params()
        number = self.spaces.index({name: own[name] for name in self.spaces[0]})
        self.standings.add(number, score)
        return score


def _place(pipeline: Pipeline) -> str:
    """Return what stands before the network's arguments in the pipeline's."""
    name, last = pipeline.steps[-1]
    return f"{name}__regressor__" if hasattr(last, "regressor") else f"{name}__"


def _space(prefix: str, setting: FitConfig, kind: str, rows: int) -> dict[str, Any]:
    """Return a setting in the pipeline's words."""
    values = setting.estimator(kind, rows).get_params()
    return {f"{prefix}{name}": values[name] for name in VARIED}


def _last_line(error: object) -> str:
    return str(error).strip().splitlines()[-1].strip()


def print_standings(standings: Standings, ending: Ending) -> None:
    """Print the table, and how sure the first place is."""
    printing.console().print(standings.table())
    left_out = len(standings.lines) - SHOWN
    say(f"{standings.progress()}" + (f"; {left_out:,} more settings in {FILES[0]}" if left_out > 0 else ""))
    for note in ending.notes:
        say(f"note: a fit failed: {note}")
    if not standings.complete:
        return
    best, good = standings.complete[0], standings.as_good
    say()
    say(f"best       {_words(best, standings)}: {best.mean:.4f} +- {best.error:.4f}", "bold")
    if len(good) > 1:
        simplest = f"; the simplest of them: {_words(good[0], standings)}" if good[0] is not best else ""
        say(f"           {len(good)} of {len(standings.complete)} settings lie within one standard error{simplest}")
    say()


def _words(line: Standing, standings: Standings) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {axis_value(line.setting, name)}" for name in standings.axes)


def _fit_winner(setting: FitConfig, source: Source, part: SplitRows) -> Fitted:
    """Train the best setting on all training rows, as `glassnet fit` does."""
    say(f"now on all training rows: {command_line(asdict(setting))}")
    return fit(source, setting, part, make_model(source, setting, part))


def _write_files(folder: Path, standings: Standings, config: SearchConfig) -> None:
    table, picture, facts = (folder / name for name in FILES)
    standings.to_frame().to_csv(table, index=False)
    standings.picture().savefig(picture, dpi=130)
    best = standings.complete[0]
    write_json(facts, {
        "arguments": asdict(config), "score": standings.score_name, "folds": standings.folds,
        "best": {"command": command_line(asdict(best.setting)), "mean": best.mean, "standard_error": best.error},
        "within_one_standard_error": [command_line(asdict(x.setting)) for x in standings.as_good],
    })  # fmt: skip
