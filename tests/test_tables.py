"""tables.py: targets and tasks named, pipelines that give a network finite numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from glassnet.errors import GlassnetError
from glassnet.tables import (
    CATEGORY_LIMIT,
    check_columns,
    make_pipeline,
    split_target,
    summarise,
    task_of,
)


def mixed(m: int = 60, seed: int = 0) -> pd.DataFrame:
    """A column of every kind that a pipeline must cope with."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2020-01-01", periods=m, freq="D")
    return pd.DataFrame(
        {
            "number": np.where(rng.random(m) < 0.2, np.nan, rng.normal(size=m)),
            "whole": rng.integers(0, 9, m),
            "number as text": rng.choice(["1.5", "N/A", "?", "7"], m),
            "category": rng.choice(np.array(["a", "b", None], dtype=object), m),
            "pandas category": pd.Categorical(rng.choice(list("xyz"), m)),
            "boolean": rng.random(m) < 0.5,
            "boolean with gaps": pd.array([True, None] * (m // 2), dtype="boolean"),
            "text": [f"word {i} {rng.integers(0, 1000)} tail" if i % 9 else None for i in range(m)],
            "date": days,
            "date as text": [f"{i % 28 + 1:02d}/{i % 12 + 1:02d}/2021" if i % 7 else None for i in range(m)],
            "date with zone": days.tz_localize("Europe/Berlin"),
            "constant": 1.0,
            "constant text": "x",
            "empty": np.nan,
            "empty text": pd.Series([None] * m, dtype=object),
            "one value": [np.nan] * (m - 1) + [3.0],
            "large": rng.normal(size=m) * 1e30,
        }
    )


# --- the target ------------------------------------------------------------------------------------


ROWS = [{"rooms": 3, "city": "Bonn", "price": 410.5}, {"rooms": 5, "city": None, "price": 650.0}]


def test_split_target() -> None:
    frame = pd.DataFrame(ROWS)
    X, y = split_target(frame, "rooms")
    assert list(X.columns) == ["city", "price"]
    assert y.tolist() == [3, 5]
    assert not split_target(frame, "rooms").assumed
    assert split_target(frame).assumed
    assert split_target(frame).y.name == "price"
    assert list(frame.columns) == ["rooms", "city", "price"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: split_target(pd.DataFrame(ROWS), "prise"),
            "unknown target column 'prise': did you mean 'price'",
        ),
        (lambda: split_target(pd.DataFrame(ROWS), "city"), "1 of 2 missing.*dropna"),
        (lambda: split_target(pd.DataFrame({"a": [1]})), "at least one feature column, received only 'a'"),
        (lambda: split_target(pd.DataFrame({"a": []})), "at least one row"),
        (lambda: split_target(pd.DataFrame([[1, 2]])), "column names are text, received 0"),
        (lambda: split_target([[1, 2]]), "must be a pandas DataFrame, received list"),  # type: ignore[arg-type]
    ],
)
def test_splits_that_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        call()


@pytest.mark.parametrize(
    ("values", "asked", "kind", "why"),
    [
        (["a", "b", "a"], None, "classification", "target 't' holds text: classification with 2 classes"),
        ([True, False, True], None, "classification", "holds booleans: classification with 2 classes"),
        (
            pd.Categorical(["u", "v", "u"], categories=["u", "v", "w"]),
            None,
            "classification",
            "with 2 classes",
        ),
        ([0, 1, 1, 0], None, "classification", "holds 2 different whole numbers: classification"),
        ([0.0, 1.0, 1.0], None, "classification", "whole numbers: classification with 2 classes"),
        (list(range(5)) * 5, None, "classification", "with 5 classes"),
        (list(range(5)) * 4, None, "regression", "holds 5 different numbers: regression"),
        (list(range(21)) * 9, None, "regression", "holds 21 different numbers: regression"),
        ([0.5, 1.5, 0.5], None, "regression", "holds 2 different numbers: regression"),
        (np.linspace(0, 1, 412), None, "regression", "holds 412 different numbers: regression"),
        ([0, 1, 1, 0], "regression", "regression", "regression, as asked for"),
        ([1, 2, 3, 3], "classification", "classification", "with 3 classes, as asked for"),
        ([0.5, 1.5, 0.5], "classification", "classification", "2 different numbers: classification"),
    ],
)
def test_task_of(values: Any, asked: str | None, kind: str, why: str) -> None:
    task = task_of(pd.Series(values, name="t"), asked)
    assert task.kind == kind
    assert why in task.why
    assert (task.n_classes is None) == (kind == "regression")


def test_classes_of_one_row_are_reported() -> None:
    assert task_of(pd.Series(["b", "a", "b", "c"])).single == ("a", "c")
    assert task_of(pd.Series(["b", "a", "b", "a"])).single == ()


@pytest.mark.parametrize(
    ("values", "asked", "message"),
    [
        (["a", "a"], None, "two different values, received 'a' in all 2 rows"),
        ([2.5, 2.5], "regression", "two different values"),
        ([], None, "received no rows|text, categories"),
        ([1.0, np.inf, -np.inf], None, "target 't' must be finite, received 2 infinite values"),
        ([1.0, np.nan], None, "1 of 2 missing"),
        (["a", "b", "a"], "regression", "numbers for a regression, received text"),
        (["a", "b", "c"], None, "3 rows, all different"),
        (pd.date_range("2020", periods=3), None, "received datetime64 values"),
        (["a", 1, 2], None, "received mixed-integer values"),
        ([0, 1], "clustering", "unknown task 'clustering'"),
    ],
)
def test_targets_that_are_refused(values: Any, asked: str | None, message: str) -> None:
    with pytest.raises(GlassnetError, match=message) as caught:
        task_of(pd.Series(values, name="t"), asked)
    assert "\n" not in str(caught.value)


# --- the pipeline ----------------------------------------------------------------------------------


def fitted(frame: pd.DataFrame) -> Any:
    y = np.random.default_rng(1).normal(size=len(frame))
    return make_pipeline(Ridge(), frame).fit(frame, y)


def test_every_kind_of_column_becomes_finite() -> None:
    frame = mixed()
    inputs = fitted(frame)[:-1].transform(frame)
    assert inputs.shape[0] == len(frame)
    assert inputs.dtype == np.float32
    assert np.isfinite(inputs).all()
    assert np.abs(inputs).max() <= 5.0
    rest = frame.drop(columns=["constant", "constant text", "empty", "empty text"])
    without = fitted(rest)[:-1].transform(rest)
    gained = inputs[:, inputs.std(axis=0) > 0]
    np.testing.assert_array_equal(gained, without[:, without.std(axis=0) > 0])


def test_the_pipeline_repeats_itself() -> None:
    frame = mixed()
    np.testing.assert_array_equal(fitted(frame)[:-1].transform(frame), fitted(frame)[:-1].transform(frame))


def test_prediction_on_frames_that_differ() -> None:
    frame = mixed()
    pipeline = fitted(frame)
    news: dict[str, Any] = {"category": "new", "pandas category": "new", "number": "hello", "text": 5}
    news |= {"date": "2020-05-01", "date as text": "no date", "boolean": "x", "constant": 7.0, "empty": 3.0}
    changed = frame.assign(**news)
    gone = frame.head(2).assign(**{name: None for name in frame.columns if frame[name].dtype.kind not in "biu"})
    for other in (changed, gone, frame.head(1)):
        assert np.isfinite(pipeline.predict(other)).all()


def test_a_new_category_is_neither_of_the_known_ones() -> None:
    frame = pd.DataFrame({"c": ["yes", "no"] * 5})
    encode = fitted(frame)[:-1].transform
    rows = encode(pd.DataFrame({"c": ["yes", "no", "perhaps"]}))
    assert len(np.unique(rows, axis=0)) == 3


def test_missing_numbers_are_marked() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, np.nan]})
    inputs = fitted(frame)[:-1].transform(pd.DataFrame({"x": [2.0, np.nan]}))
    assert inputs.shape == (2, 2)
    assert inputs[0, 0] == inputs[1, 0]  # the mean
    assert inputs[0, 1] != inputs[1, 1]  # and the sign that it is one


def test_check_columns() -> None:
    frame = pd.DataFrame({"price": [1], "city": ["Bonn"], "rooms": [3]})
    assert list(check_columns(frame, ["rooms", "city"]).columns) == ["rooms", "city"]
    with pytest.raises(GlassnetError, match=r"none called 'room', 'area'.*Is 'room' called 'rooms' here"):
        check_columns(frame, ["room", "area", "city"])
    with pytest.raises(GlassnetError, match="column 'rooms' must be finite"):
        check_columns(frame.assign(rooms=np.inf), ["rooms"])


def test_other_columns_are_counted_and_five_of_them_named() -> None:
    """All of the 64 names of digits were a wall."""
    frame = pd.DataFrame(np.ones((1, 9)), columns=[*"abcdefgh", "p2"])
    with pytest.raises(GlassnetError) as caught:
        check_columns(frame, [f"p{i}" for i in range(64)])
    assert str(caught.value) == (
        "the table must be one with the 64 columns that were learned from, received none called 'p0', 'p1', 'p3', "
        "'p4', 'p5' and 58 more, 63 of 64 missing; others that it has: 'a', 'b', 'c', 'd', 'e' and 3 more."
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, np.inf, -np.inf]}, "column 'x' must be finite, received 2 infinite values"),
        ({"x": ["1.5", "inf", "N/A"]}, "column 'x' must be finite, received 1 infinite value[^s]"),
        ({"x": [1e300, 1.0]}, r"below 3\.4e\+38 in size \(float32\), received 1 larger value[^s]"),
        ({"x": [np.nan, np.nan], "y": [None, "?"]}, "2 rows that are missing everywhere"),
        ({"x": pd.to_timedelta([1, 2], unit="s")}, "numbers, text or dates, received durations"),
        ({"x": [[1], [2]]}, "received list in row 0 of column 'x'"),
        ({1: [1.0, 2.0]}, "column names are text"),
    ],
)
def test_features_that_are_refused(columns: dict[Any, Any], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make_pipeline(Ridge(), pd.DataFrame(columns))


@pytest.mark.parametrize("estimator", [Ridge, "ridge", None])
def test_estimators_that_are_refused(estimator: object) -> None:
    with pytest.raises(GlassnetError, match="scikit-learn estimator object"):
        make_pipeline(estimator, pd.DataFrame({"x": [1.0, 2.0]}))


# --- the summary -----------------------------------------------------------------------------------


def test_summary() -> None:
    summary = summarise(mixed(), "number")
    assert (summary.rows, summary.columns, summary.target) == (60, 17, "number")
    kinds = {column.name: column.kind for column in summary.details}
    assert kinds == {
        "number": "number",
        "whole": "number",
        "number as text": "number",
        "category": "category",
        "pandas category": "category",
        "boolean": "number",
        "boolean with gaps": "number",
        "text": "text",
        "date": "date",
        "date as text": "date",
        "date with zone": "date",
        "constant": "constant",
        "constant text": "constant",
        "empty": "empty",
        "empty text": "empty",
        "one value": "number",
        "large": "number",
    }
    row = next(column for column in summary.details if column.name == "boolean with gaps")
    assert (row.missing, row.distinct) == (30, 1)
    with pytest.raises(GlassnetError, match="did you mean 'number'"):
        summarise(mixed(), "numbr")


def test_the_summary_says_what_the_pipeline_does() -> None:
    frame = mixed()
    words = [f"w{i}" for i in range(CATEGORY_LIMIT)]
    frame["under the limit"] = [words[i % (CATEGORY_LIMIT - 1)] for i in range(len(frame))]
    frame["at the limit"] = [words[i % CATEGORY_LIMIT] for i in range(len(frame))]
    assigned = fitted(frame)[0].column_to_kind_
    names = {
        "numeric": "number",
        "datetime": "date",
        "low_cardinality": "category",
        "high_cardinality": "text",
    }
    for column in summarise(frame).details:
        if column.kind not in ("constant", "empty"):
            assert names[assigned[column.name]] == column.kind, column.name
