"""Search: all fits of a grid at once, one core each, in one process.

    glassnet.search.grid(MLPClassifier(), {"alpha": [1e-5, 1e-3], "width": [20, 50]}, X, y, cv=5)

What comes back is scikit-learn's own `GridSearchCV`, fitted: `cv_results_`, `best_estimator_`, `best_params_` and all
else. What differs is who does the work. The compiled loop runs without Python's interpreter lock, so the fits are a
population of threads that read the same X: no process is started, nothing is pickled, and no fit uses more than one
core, whatever BLAS and `n_jobs` would do to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy.typing as npt
from joblib import parallel_config
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv

from glassnet.arrays import check_count
from glassnet.engines.threads import allowed, single_threaded_blas
from glassnet.errors import GlassnetError, type_fault

__all__ = ["grid", "spelled_out"]

MANY = 8
"""So many fits repay the loading of the compiled engine, which a single short one may not (`engine="auto"`)."""
Grid = Mapping[str, Sequence[Any]]


def grid(
    estimator: Any,
    param_grid: Grid | Sequence[Grid],
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    cv: Any = None,
    scoring: Any = None,
    refit: Any = True,
    error_score: Any = float("nan"),
    return_train_score: bool = False,
    n_threads: int | None = None,
    **fit_params: Any,
) -> GridSearchCV:
    """Fit every setting of a grid to every split of X (m, d), y (m,) or (m, k), and return the fitted GridSearchCV.

    estimator   of glassnet, or a pipeline that ends with one; others work too, and gain what their code allows
    param_grid  name -> values, or several such; "width" and "depth" stand for `hidden_layer_sizes` = (width,) * depth
    n_threads   how many fits run at a time; None: one for each core
    fit_params  as `GridSearchCV.fit` takes them: `sample_weight`, `groups`

    `cv`, `scoring`, `refit`, `error_score` and `return_train_score` are GridSearchCV's. Scores are those that
    GridSearchCV finds with the same engine, to the last bit; a fit that fails gets `error_score` and a warning, and the
    others go on. From eight fits on, `engine="auto"` is the compiled engine.

    Raises GlassnetError where the grid names "width" beside "hidden_layer_sizes".

    >>> from glassnet import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", alpha=0.1, tol=1e-2, random_state=0)
    >>> found = grid(model, {"width": [4, 8], "depth": [1, 2]}, X / 4, y, cv=3)
    >>> len(found.cv_results_["params"]), bool(found.best_score_ > 0.9)
    (4, True)
    """
    workers = allowed() if n_threads is None else check_count("n_threads", n_threads)
    many = [param_grid] if isinstance(param_grid, Mapping) else list(param_grid)
    spaces = [spelled_out(space) for space in many]
    fits = len(ParameterGrid(spaces)) * check_cv(cv, y, classifier=is_classifier(estimator)).get_n_splits(
        X, y, fit_params.get("groups")
    )
    shared: dict[str, object] = dict.fromkeys(_unset(estimator, "n_threads", None, spaces), 1)
    if fits >= MANY:
        shared |= dict.fromkeys(_unset(estimator, "engine", "auto", spaces), "numba")
    before = {name: estimator.get_params()[name] for name in shared}
    search = GridSearchCV(
        clone(estimator).set_params(**shared), spaces, scoring=scoring, refit=refit, cv=cv,
        error_score=error_score, return_train_score=return_train_score,
    )  # fmt: skip
    with single_threaded_blas(), parallel_config("threading", n_jobs=workers):
        search.fit(X, y, **fit_params)
    search.set_params(estimator=estimator)
    if hasattr(search, "best_estimator_"):
        search.best_estimator_.set_params(**before)
    return search


def _unset(estimator: Any, argument: str, default: object, spaces: Sequence[Grid]) -> list[str]:
    """Return where the estimator, or a step of it, has this argument at its default and the grid does not name it."""
    named = {name for space in spaces for name in space}
    return [
        name
        for name, value in estimator.get_params().items()
        if _last(name) == argument and value == default and name not in named
    ]


def spelled_out(space: Grid) -> dict[str, Sequence[Any]]:
    """Return a grid in the estimator's own words: "width" and "depth" as `hidden_layer_sizes`.

    Without "depth" there is one hidden layer, without "width" each has 100 units; depth 0 is no hidden layer, once.
    In a pipeline they have the step's name before them, as all its arguments.

    Raises GlassnetError for what is no list of whole numbers, and for "width" beside "hidden_layer_sizes".

    >>> spelled_out({"width": [10, 20], "depth": [1, 2], "alpha": [0.1]})
    {'alpha': [0.1], 'hidden_layer_sizes': [(10,), (10, 10), (20,), (20, 20)]}
    """
    found = dict(space)
    for prefix in dict.fromkeys(_prefix(name) for name in space if _last(name) in ("width", "depth")):
        sizes = f"{prefix}hidden_layer_sizes"
        if sizes in space:
            raise GlassnetError(f"The grid names {sizes!r} beside its width or depth, which mean the same. Choose one.")
        widths, depths = found.pop(f"{prefix}width", [100]), found.pop(f"{prefix}depth", [1])
        for name, values, least in (("width", widths, 1), ("depth", depths, 0)):
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise type_fault(f"{prefix}{name}", f"a list of whole numbers, such as [{values}]", repr(values))
            for value in values:
                check_count(f"{prefix}{name}", value, least)
        found[sizes] = list(dict.fromkeys((width,) * depth for width, depth in product(widths, depths)))
    return found


def _last(name: str) -> str:
    return name.rpartition("__")[2]


def _prefix(name: str) -> str:
    return name[: len(name) - len(_last(name))]
