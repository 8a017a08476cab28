"""errors.py and arrays.py: expected, received, remedy; and what the doors let in."""

from __future__ import annotations

import numpy as np
import pytest

from glassnet.activations import ACTIVATIONS
from glassnet.arrays import as_floats, as_matrix, as_rows, as_weights, check_count, generator
from glassnet.errors import ELSEWHERE, GlassnetError, GlassnetTypeError, choose, fault, nearest, type_fault
from glassnet.estimators.options import SOLVERS
from glassnet.gallery import NAMES
from glassnet.initializers import INITIALIZERS
from glassnet.losses import LOSSES

TABLE = {"relu": 1, "tanh": 2, "sigmoid": 3}


def test_sentences() -> None:
    assert str(fault("X", "(m, 64)", (64,), "One row?")) == "X must be (m, 64), received (64,). One row?"
    assert str(fault("l2", "at least 0", -1)) == "l2 must be at least 0, received -1."
    assert str(type_fault("units", "a number", "'x'")) == "units must be a number, received 'x'."


def test_errors_are_those_that_other_code_expects() -> None:
    assert isinstance(fault("a", "b", "c"), ValueError)
    assert isinstance(type_fault("a", "b", "c"), TypeError)
    assert isinstance(type_fault("a", "b", "c"), GlassnetError)
    assert issubclass(GlassnetTypeError, ValueError)


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("rleu", "relu"),
        ("RELU", "relu"),
        ("sigmiod", "sigmoid"),
        ("qqqqqq", None),
        ("", None),
        ("gem", None),
    ],
)
def test_nearest(name: str, guess: str | None) -> None:
    assert nearest(name, TABLE) == guess


@pytest.mark.parametrize(
    ("table", "name", "guess"),
    [
        (LOSSES, "bce", "binary_cross_entropy"), (LOSSES, "MSE", "squared_error"), (LOSSES, "ce", "cross_entropy"),
        (LOSSES, "mae", "absolute_error"), (ACTIVATIONS, "swish", "silu"), (INITIALIZERS, "xavier", "glorot_uniform"),
        (SOLVERS, "l-bfgs-b", "lbfgs"), (LOSSES, "nope", None), (LOSSES, "swish", None), (NAMES, "nope", None),
    ],
)  # fmt: skip
def test_names_of_other_libraries_are_known_in_messages_alone(table: object, name: str, guess: str | None) -> None:
    with pytest.raises(GlassnetError) as caught:
        choose("thing", name, dict.fromkeys(table))
    hint = "" if guess is None else f"did you mean {guess!r}? "
    assert str(caught.value).startswith(f"unknown thing {name!r}: {hint}Known: ")


def test_every_name_of_other_libraries_leads_to_one_of_ours() -> None:
    ours = {*LOSSES, *ACTIVATIONS, *INITIALIZERS, *SOLVERS}
    assert set(ELSEWHERE.values()) - ours == set()
    assert set(ELSEWHERE) & ours == set()


def test_choose_finds_a_known_name() -> None:
    assert choose("activation", "tanh", TABLE) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("thanh", "unknown activation 'thanh': did you mean 'tanh'? Known: relu, tanh, sigmoid."),
        ("qqqqqq", "unknown activation 'qqqqqq': Known: relu, tanh, sigmoid."),
        (3, "unknown activation 3: Known: relu, tanh, sigmoid."),
        (["relu"], "unknown activation ['relu']: Known: relu, tanh, sigmoid."),
    ],
)
def test_choose_answers_an_unknown_name(name: object, message: str) -> None:
    with pytest.raises(GlassnetError) as caught:
        choose("activation", name, TABLE)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([[1, 2]], np.float64),
        ([[True, False]], np.float64),
        (np.ones((1, 2), np.float16), np.float64),
        (np.ones((1, 2), np.float32), np.float32),
        (np.ones((1, 2), np.complex128), np.complex128),
        (np.array([[1, 2.5]], object), np.float64),
    ],
)
def test_as_floats_keeps_or_widens(value: object, dtype: type) -> None:
    floats = as_floats("X", value)
    assert floats.dtype == dtype
    assert floats.shape == (1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: as_floats("X", None), "X must be an array, received None"),
        (lambda: generator("a"), "rng must be a whole number from 0 up or a numpy.random.Generator, received 'a'"),
        (lambda: generator(-1), "rng must be a whole number from 0 up"),
        (lambda: as_floats("X", [["a", "b"]]), "X must be numbers, received dtype <U1. Text and categories: see"),
        (lambda: as_floats("X", np.eye(2).astype(str)), r"X must be numbers, received dtype <U32.*X\.astype\(float\)"),
        (lambda: as_floats("X", np.array([b"1"])), "X must be numbers, received dtype"),
        (lambda: as_floats("X", [[0.0], [np.nan]]), r"X must be finite, received NaN or infinity \(first in row 1\)"),
        (lambda: as_floats("X", [[1.0], [-np.inf]]), r"X must be finite.*first in row 1"),
        (lambda: as_matrix("X", np.ones(3), 3), r"X must be \(m, 3\), received \(3,\). One row\? X\[None, :\]"),
        (lambda: as_matrix("X", np.ones(5), 1), r"X must be \(m, 1\), received \(5,\). One column\? X\[:, None\]"),
        (lambda: as_matrix("X", np.ones((5, 2)), 3), r"X must be \(m, 3\), received \(5, 2\)\."),
        (lambda: as_rows(np.ones((5, 2)), [0, 1, 2, 0, 1], 2, 3), r"Y must be \(m, 3\).*glassnet.one_hot"),
        (lambda: as_rows(np.ones((5, 2)), np.ones((4, 3)), 2, 3), "equally many rows, received 5 and 4"),
        (lambda: as_rows(np.ones((0, 2)), np.ones((0, 3)), 2, 3), "X must have at least one row"),
        (lambda: as_weights(np.ones((3, 1)), 3), r"sample_weight must be \(3,\), received \(3, 1\)"),
        (lambda: as_weights([1, -1, 1], 3), "sample_weight must be at least 0 with a positive sum"),
        (lambda: as_weights([0, 0, 0], 3), "sample_weight must be at least 0 with a positive sum, received a sum of 0"),
        (lambda: check_count("units", 0), "units must be at least 1, received 0"),
        (lambda: check_count("units", 2.0), "units must be a whole number of at least 1, received 2.0"),
        (lambda: check_count("units", True), "units must be a whole number of at least 1, received True"),
    ],
)
def test_doors_refuse(call: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        call()


def test_a_sum_that_overflows_is_not_infinity_in_the_data() -> None:
    big = np.full((1, 4), np.finfo(np.float32).max, np.float32)
    assert as_floats("X", big) is big


def test_infinities_that_cancel_are_refused_without_a_warning() -> None:
    with pytest.raises(GlassnetError, match="X must be finite, received NaN or infinity"):
        as_floats("X", [[np.inf, -np.inf]])


@pytest.mark.parametrize("value", [np.array([["2020-01-01"]], "M8[D]"), np.array([[3]], "m8[s]"), np.complex64([[1j]])])
def test_dates_and_small_complex_numbers_are_refused_or_kept(value: np.ndarray) -> None:
    if value.dtype.kind == "c":
        assert as_floats("X", value)[0, 0] == 1j
    else:
        with pytest.raises(GlassnetError, match="X must be numbers"):
            as_floats("X", value)


def test_weights_and_counts_pass() -> None:
    assert as_weights(None, 3) is None
    assert as_weights([0, 1, 2], 3).tolist() == [0.0, 1.0, 2.0]
    assert check_count("epochs", np.int64(5)) == 5
    assert check_count("epochs", 0, least=0) == 0
