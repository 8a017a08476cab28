"""The contract, side by side with scikit-learn: arguments, attributes, warnings and errors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.utils._param_validation import generate_invalid_param_val, generate_valid_param, make_constraint

import glassnet
from glassnet import Ensemble, MLPClassifier, MLPRegressor
from glassnet.errors import GlassnetError

NAMES = ["MLPClassifier", "MLPRegressor"]
X_iris, y_iris = load_iris(return_X_y=True)
X_iris = (X_iris - X_iris.mean(axis=0)) / X_iris.std(axis=0)
NAN_ROW = np.where(np.arange(150)[:, None] == 7, np.nan, X_iris)


def pair(name: str, **options: Any) -> list[Any]:
    """Our estimator and theirs."""
    options = {"random_state": 0, "hidden_layer_sizes": (4,), **options}
    return [getattr(module, name)(**options) for module in (glassnet, neural_network)]


def outcome(call: Callable[[Any], Any], model: Any) -> tuple[Any, set[type], str]:
    """Return the error (or None), the categories of the warnings, and all words."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        error: Exception | None = None
        try:
            call(model)
        except Exception as raised:  # noqa: BLE001  (whatever it is, it is compared)
            error = raised
    text = " | ".join([*(str(one.message) for one in seen), str(error)])
    categories = {one.category for one in seen if not issubclass(one.category, RuntimeWarning)}
    return error, categories, text


# --- arguments -------------------------------------------------------------------------------------

REFUSED_HERE: dict[str, tuple[Any, ...]] = {"momentum": (1,)}
"""Valid for scikit-learn, refused by us: with a momentum of 1 nothing that was learned is ever forgotten."""
MORE_HERE = {"activation", "solver", "loss", "hidden_layer_sizes", "random_state"}
"""Arguments that take more here than there; for what they refuse see the tests of the options."""


def constraints(name: str) -> list[tuple[str, Any]]:
    known = getattr(neural_network, name)._parameter_constraints
    return [(argument, make_constraint(one)) for argument, several in known.items() for one in several]


@pytest.mark.parametrize("name", NAMES)
def test_what_scikit_learn_takes_is_taken(name: str) -> None:
    """One value for each of its constraints; some are far from any that learns."""
    seen = 0
    for argument, constraint in constraints(name):
        value = generate_valid_param(constraint)
        ours = pair(name, max_iter=2)[0].set_params(**{argument: value})
        if isinstance(value, float | int) and value in REFUSED_HERE.get(argument, ()):
            continue
        error, _, text = outcome(lambda model: model.fit(X_iris, y_iris), ours)
        assert error is None or "diverge" in text or "non-finite" in text, (argument, value, text)
        seen += 1
    assert seen > 25


@pytest.mark.parametrize("name", NAMES)
def test_what_scikit_learn_refuses_is_refused(name: str) -> None:
    seen = 0
    for argument, constraint in constraints(name):
        if argument in MORE_HERE:
            continue
        try:
            value = generate_invalid_param_val(constraint)
        except NotImplementedError:  # every value is valid for a constraint of this kind
            continue
        if any(other.is_satisfied_by(value) for which, other in constraints(name) if which == argument):
            continue
        ours, theirs = (model.set_params(**{argument: value}) for model in pair(name))
        for model in (ours, theirs):
            with pytest.raises(ValueError, match=argument):
                model.fit(X_iris, y_iris)
        seen += 1
    assert seen > 12


@pytest.mark.parametrize("name", NAMES)
def test_what_we_refuse_they_would_have_taken(name: str) -> None:
    for argument, values in REFUSED_HERE.items():
        for value in values:
            ours, theirs = (model.set_params(**{argument: value}, max_iter=2) for model in pair(name, solver="sgd"))
            with pytest.raises(GlassnetError, match=argument):
                ours.fit(X_iris, y_iris)
            assert outcome(lambda model: model.fit(X_iris, y_iris), theirs)[0] is None


# --- errors and warnings ---------------------------------------------------------------------------


def twice(model: Any) -> None:
    model.fit(X_iris, y_iris).fit(X_iris, np.minimum(y_iris, 1))


def stepwise(model: Any) -> None:
    model.partial_fit(X_iris, y_iris, classes=[0, 1, 2]).partial_fit(X_iris, y_iris + 1)


def other_classes(model: Any) -> None:
    model.partial_fit(X_iris, y_iris, classes=[0, 1, 2]).partial_fit(X_iris, y_iris, classes=[0, 1])


def as_frame() -> pd.DataFrame:
    return pd.DataFrame(X_iris, columns=list("abcd"))


C, R, BOTH = ["MLPClassifier"], ["MLPRegressor"], NAMES
CASES: dict[str, tuple[list[str], dict[str, Any], Callable[[Any], Any], str]] = {
    # what goes wrong: (who, options, call, words that both must say)
    "not fitted": (BOTH, {}, lambda m: m.predict(X_iris), "not fitted yet"),
    "not fitted, probabilities": (C, {}, lambda m: m.predict_proba(X_iris), "not fitted yet"),
    "NaN": (BOTH, {}, lambda m: m.fit(NAN_ROW, y_iris), "Input X contains NaN"),
    "NaN in y": (R, {}, lambda m: m.fit(X_iris, NAN_ROW[:, 0]), "Input y contains NaN"),
    "NaN to predict": (BOTH, {"max_iter": 1}, lambda m: m.fit(X_iris, y_iris).predict(NAN_ROW), "contains NaN"),
    "one axis": (BOTH, {}, lambda m: m.fit(X_iris[0], y_iris[:4]), "Expected 2D array, got 1D array"),
    "no rows": (BOTH, {}, lambda m: m.fit(X_iris[:0], y_iris[:0]), r"Found array with 0 sample\(s\)"),
    "lengths": (BOTH, {}, lambda m: m.fit(X_iris, y_iris[1:]), r"inconsistent numbers of samples: \[150, 149\]"),
    "no y": (BOTH, {}, lambda m: m.fit(X_iris, None), "requires y to be passed"),
    "words in X": (BOTH, {}, lambda m: m.fit([["a"], ["b"]], [0, 1]), "could not convert string to float"),
    "complex X": (BOTH, {}, lambda m: m.fit(X_iris + 1j, y_iris), "Complex data not supported"),
    "columns": (BOTH, {"max_iter": 1}, lambda m: m.fit(X_iris, y_iris).predict(X_iris[:, 1:]), "X has 3 features"),
    "names": (
        BOTH, {"max_iter": 1}, lambda m: m.fit(as_frame(), y_iris).predict(as_frame()[list("bacd")]), "feature names",
    ),
    "no names": (BOTH, {"max_iter": 1}, lambda m: m.fit(as_frame(), y_iris).predict(X_iris), "valid feature names"),
    "numbers as labels": (C, {}, lambda m: m.fit(X_iris, X_iris[:, 0]), "Unknown label type"),
    "several classes a row": (C, {}, lambda m: m.fit(X_iris, np.c_[y_iris, y_iris]), "Multioutput target data"),
    "a column of y": (BOTH, {"max_iter": 1}, lambda m: m.fit(X_iris, y_iris[:, None]), "column-vector y was passed"),
    "cut short": (BOTH, {"max_iter": 1}, lambda m: m.fit(X_iris, y_iris), r"Maximum iterations \(1\) reached"),
    "cut short, lbfgs": (BOTH, {"max_iter": 1, "solver": "lbfgs"}, lambda m: m.fit(X_iris, y_iris), "max_iter"),
    "large batch": (
        BOTH, {"batch_size": 151, "max_iter": 1}, lambda m: m.fit(X_iris, y_iris), "batch_size.*larger than.*clipped",
    ),
    "weights, length": (BOTH, {}, lambda m: m.fit(X_iris, y_iris, np.ones(3)), r"sample_weight.shape == \(3,\)"),
    "weights, NaN": (BOTH, {}, lambda m: m.fit(X_iris, y_iris, NAN_ROW[:, 0]), "Input sample_weight contains NaN"),
    "no classes": (C, {}, lambda m: m.partial_fit(X_iris, y_iris), "classes must be passed on the first call"),
    "unseen class": (C, {}, stepwise, r"classes.*\[0 1 2\]"),
    "other classes": (C, {}, other_classes, r"`?classes.*(same|not the same).*"),
    "warm start, classes": (
        C, {"warm_start": True, "max_iter": 1}, twice, r"warm_start can only be used where `y` has the same.*\[0 1 2\]",
    ),
    "steps and early stopping": (
        BOTH, {"early_stopping": True}, lambda m: m.fit(X_iris, y_iris).partial_fit(X_iris, y_iris),
        "partial_fit does not support early_stopping=True",
    ),
    "small validation set": (
        R, {"early_stopping": True}, lambda m: m.fit(X_iris[:2], y_iris[:2]), "validation set is too small",
    ),
    "a class of one": (
        C, {"early_stopping": True}, lambda m: m.fit(X_iris[:4], [0, 0, 0, 1]), "least populated class.*only 1 member",
    ),
    "overflow": (
        BOTH, {}, lambda m: m.fit(X_iris * 1e307, y_iris), "Solver produced non-finite parameter weights.*preprocessed",
    ),
    "lbfgs by steps": (C, {"solver": "lbfgs"}, lambda m: m.partial_fit, "has no attribute 'partial_fit'"),
}  # fmt: skip


@pytest.mark.parametrize(("case", "name"), [(case, name) for case, (names, *_) in CASES.items() for name in names])
def test_what_goes_wrong_is_said_as_there(case: str, name: str) -> None:
    _, options, call, words = CASES[case]
    (error, seen, text), (other, known, other_text) = (outcome(call, model) for model in pair(name, **options))
    assert isinstance(error, type(None) if other is None else (type(other), ValueError)), (error, other)
    if isinstance(other, NotFittedError | AttributeError | TypeError) and not isinstance(other, ValueError):
        assert isinstance(error, type(other))
    known = known if other is None else set()
    assert all(any(issubclass(mine, category) for mine in seen) for category in known), (seen, known)
    for said in (text, other_text):
        assert re.search(words, said, re.S), said


def test_the_comparison_would_see_a_difference() -> None:
    assert outcome(lambda m: m.fit(X_iris, y_iris), pair("MLPClassifier", max_iter=1)[0])[1] == {ConvergenceWarning}
    assert outcome(lambda m: m.fit(X_iris, y_iris[:, None]), pair("MLPRegressor", alpha=-1)[0])[1] == set()
    seen = outcome(lambda m: m.fit(X_iris, y_iris[:, None]), pair("MLPRegressor", max_iter=1)[0])[1]
    assert seen == {DataConversionWarning, ConvergenceWarning}
    assert isinstance(outcome(lambda m: m.predict(X_iris), pair("MLPRegressor")[0])[0], NotFittedError)


# --- attributes ------------------------------------------------------------------------------------

MORE_FOR_LBFGS = {"loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"}


def public(model: Any) -> set[str]:
    return {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
@pytest.mark.parametrize("form", ["array", "frame", "sparse", "float32"])
def test_attributes(name: str, options: dict[str, Any], form: str) -> None:
    """Every attribute of theirs is there, of the same type, shape and dtype."""
    X = {"frame": as_frame, "sparse": lambda: sparse.csr_array(X_iris), "float32": lambda: X_iris.astype(np.float32)}
    data = X.get(form, lambda: X_iris)()
    one, other = pair(name, max_iter=3, **options)
    for model in (one, other):
        outcome(lambda m: m.fit(data, y_iris), model)
    names = public(other) - {"coefs_", "intercepts_"}
    for attribute in names:
        mine, known = getattr(one, attribute), getattr(other, attribute)
        assert isinstance(mine, float if isinstance(known, float) else type(known)), attribute
        if isinstance(known, np.ndarray):
            assert mine.dtype == known.dtype
            np.testing.assert_array_equal(mine, known)
        elif isinstance(known, int | str):
            assert mine == known or attribute == "t_", attribute
        elif isinstance(known, list):
            assert len(mine) == len(known)
    for attribute in ("coefs_", "intercepts_"):
        assert isinstance(getattr(one, attribute), list)
        for mine, known in zip(getattr(one, attribute), getattr(other, attribute), strict=True):
            assert mine.shape == known.shape
            assert mine.dtype == (np.float32 if form == "float32" else np.float64)  # after lbfgs, theirs are float64
    own = public(one) - names
    extra = MORE_FOR_LBFGS if options.get("solver") == "lbfgs" else set()
    assert own <= extra | {"network_", "theta_", "state_", "history_", "status_", "stop_reason_", "posterior_"}


@pytest.mark.parametrize("name", NAMES)
def test_weights_can_be_assigned(name: str) -> None:
    """As a whole and layer by layer, into a fitted estimator and before the first fit: as there."""
    one, other = pair(name, max_iter=2)
    for model in (one, other):
        outcome(lambda m: m.fit(X_iris, y_iris), model)
        model.coefs_[0] = np.full((4, 4), 0.25)
        model.intercepts_ = [np.zeros(4), np.ones(model.n_outputs_)]
        model.coefs_[1][:] = 0.5
    np.testing.assert_allclose(one.predict(X_iris), other.predict(X_iris))
    expected = other.predict_proba if name == "MLPClassifier" else other.predict
    np.testing.assert_allclose(getattr(one, expected.__name__)(X_iris), expected(X_iris), rtol=1e-12)
    fresh = []
    for model in (one, other):
        begun = clone(model).set_params(warm_start=True, solver="sgd", batch_size=150, alpha=0.0)
        begun.coefs_, begun.intercepts_ = list(other.coefs_), list(other.intercepts_)
        if model is other:  # it asks for what a first fit leaves besides the weights
            begun.set_params(warm_start=True)
            vars(begun).update(n_layers_=3, t_=0, best_loss_=np.inf, loss_curve_=[], _no_improvement_count=0)
            vars(begun).update(out_activation_=other.out_activation_, n_features_in_=4)
            vars(begun).update(
                {key: value for key, value in vars(other).items() if key in ("_label_binarizer", "classes_")}
            )
        outcome(lambda m: m.fit(X_iris, y_iris), begun)
        fresh.append(begun)
    np.testing.assert_allclose(fresh[0].coefs_[0], fresh[1].coefs_[0], rtol=1e-9)


def test_weights_that_do_not_fit_are_refused() -> None:
    model = pair("MLPRegressor", max_iter=3)[0]
    outcome(lambda m: m.fit(X_iris, y_iris), model)
    before = model.theta_.copy()
    with pytest.raises(GlassnetError, match=r"coefs_\[0\] must be of shape \(4, 4\), received \(4, 5\).*hidden_layer"):
        model.coefs_[0] = np.zeros((4, 5))
    with pytest.raises(GlassnetError, match=r"coefs_\[1\] must be of shape \(4, 1\)"):
        model.coefs_ = [np.zeros((4, 4)), np.zeros(4)]
    with pytest.raises(GlassnetError, match="intercepts_ must be 2 arrays, one a layer, received 1"):
        model.intercepts_ = [np.zeros(4)]
    np.testing.assert_array_equal(model.theta_, before)
    fresh = clone(model)
    fresh.coefs_ = [np.zeros((4, 5)), np.zeros((5, 1))]
    with pytest.raises(GlassnetError, match=r"coefs_\[0\] must be of shape"):
        fresh.partial_fit(X_iris, y_iris)
    ignored = clone(model).set_params(max_iter=3)
    ignored.coefs_ = [np.zeros((4, 4)), np.zeros((4, 1))]
    outcome(lambda m: m.fit(X_iris, y_iris), ignored)  # a fit that is no warm start begins with its own
    np.testing.assert_array_equal(ignored.theta_, before)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_sparse_labels_give_sparse_labels(form: Any, early_stopping: bool) -> None:
    Y = np.eye(3, dtype=int)[y_iris] + np.eye(3, dtype=int)[(y_iris + 1) % 3]
    weights = np.linspace(0.5, 1.5, len(Y))
    options = {"hidden_layer_sizes": (5,), "random_state": 0, "tol": 0.5, "early_stopping": early_stopping}
    model, theirs = (kind(**options).fit(X_iris, form(Y), weights) for kind in (MLPClassifier, TheirClassifier))
    assert type(model.predict(X_iris)) is type(theirs.predict(X_iris))
    dense = MLPClassifier(**options).fit(X_iris, Y, weights)
    np.testing.assert_array_equal(model.predict(X_iris).toarray(), dense.predict(X_iris))
    assert model.score(X_iris, form(Y)) == dense.score(X_iris, Y) == model.score(X_iris, Y)


def test_sparse_numbers_are_no_targets() -> None:
    with pytest.raises(GlassnetError, match=r"y must be a dense array, received a sparse csr_matrix.*toarray"):
        MLPRegressor().fit(X_iris, sparse.csr_matrix(X_iris[:, :2]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({0: -1.0}, r"class_weight must be a number of at least 0 for each class, received -1.0 for 0"),
        ({0: "much"}, "received 'much' for 0"),
        ("balance", r"class_weight must be None, 'balanced' or a dictionary \{label: weight\}, received 'balance'"),
        ([1, 2, 3], r"received \[1, 2, 3\]"),
    ],
    ids=str,
)
def test_class_weights_that_are_none(given: Any, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        MLPClassifier(class_weight=given).fit(X_iris, y_iris)


def test_class_weights_changed_between_calls_are_heard() -> None:
    options = {"hidden_layer_sizes": (5,), "random_state": 0}
    model, witness = MLPClassifier(class_weight={1: 2.0}, **options), MLPClassifier(**options)
    for heavy in (2.0, 7.0):
        model.set_params(class_weight={1: heavy}).partial_fit(X_iris, y_iris, classes=[0, 1, 2])
        witness.partial_fit(X_iris, y_iris, np.where(y_iris == 1, heavy, 1.0), classes=[0, 1, 2])
    np.testing.assert_array_equal(model.theta_, witness.theta_)


def test_an_ensemble_names_the_package_of_its_members() -> None:
    with pytest.raises(GlassnetError, match=r"received MLPClassifier\(\) of sklearn\. Those of glassnet"):
        Ensemble(TheirClassifier()).fit(X_iris, y_iris)
