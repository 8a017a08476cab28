"""Tables in, numbers for a network out.

`read_table` turns a file into a pandas frame, `split_target` names what is to be predicted, `task_of` says
which kind of problem that is, `make_pipeline` puts encoders in front of an estimator. Every refusal is one
line that names file, row or column. What a column is (number, category, text, date) is decided by skrub's
cleaning rules in one function, `_cleaned`, so that summary, checks and pipeline agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from glassnet.errors import choose, fault, nearest, type_fault
from glassnet.table_files import Frame, check_names, check_plain, read_table

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = [
    "CATEGORY_LIMIT",
    "ColumnSummary",
    "Split",
    "TableSummary",
    "Task",
    "check_columns",
    "make_pipeline",
    "read_table",
    "split_target",
    "summarise",
    "task_of",
]

Column: TypeAlias = "pd.Series[Any]"
Kind: TypeAlias = Literal["number", "category", "text", "date", "constant", "empty"]

CATEGORY_LIMIT = 40
"""Words with fewer different values than this are categories (one input each), with more they are text."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)


# --- what is to be predicted -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Split:
    """Features `X (m, d)`, target `y (m,)`; unpacks as `X, y`. `assumed`: the caller did not name it."""

    X: Frame
    y: Column
    assumed: bool

    def __iter__(self) -> Iterator[Any]:
        return iter((self.X, self.y))


def split_target(frame: Frame, target: str | None = None) -> Split:
    """Part a table into features and target; without a name the last column is it, and `assumed` is True.

    Raises `GlassnetError` for an unknown name, missing values in the target, or no feature column left.

    >>> X, y = split_target(pd.DataFrame({"rooms": [3, 5], "price": [410, 650]}))
    >>> list(X.columns), y.name
    (['rooms'], 'price')
    """
    _check_frame(frame)
    assumed = target is None
    name = str(frame.columns[-1]) if target is None else target
    choose("target column", name, dict.fromkeys(frame.columns))
    if frame.shape[1] == 1:
        raise fault("the table", "one with a target and at least one feature column", f"only {name!r}")
    y = frame[name]
    _check_complete(y, name)
    if pd.api.types.infer_dtype(y) == "string":
        numbers = pd.to_numeric(y, errors="coerce")
        y = y if numbers.isna().any() else numbers  # numbers that were stored as text
    return Split(frame.drop(columns=[name]), y, assumed)


def _check_complete(y: Column, name: str) -> None:
    missing = int(y.isna().sum())
    if missing:
        remedy = f"Leave those rows out of the table (in Python: frame.dropna(subset=[{name!r}]))."
        raise fault(f"target {name!r}", "known in every row", f"{missing} of {len(y)} missing", remedy)


@dataclass(frozen=True)
class Task:
    """Which problem a target poses, and why. `single`: classes with one row, too few to learn and test."""

    kind: Literal["classification", "regression"]
    why: str
    n_classes: int | None = None
    single: tuple[str, ...] = ()


_TASKS = ("classification", "regression")
_MANY_CLASSES = 20
_ROWS_PER_CLASS = 5


def task_of(y: Column, task: str | None = None) -> Task:
    """Decide between classification and regression, or check the `task` that is asked for.

    Text, categories and booleans are classes. Whole numbers are classes when there are two different ones, or
    at most 20 with five rows each on average; all other numbers are a regression.

    Raises `GlassnetError` for missing values, infinities, dates, a single value, text in a regression, and
    classes that occur once each.

    >>> task = task_of(pd.Series(["cat", "dog", "cat"], name="pet"))
    >>> task.kind, task.why, task.single
    ('classification', "target 'pet' holds text: classification with 2 classes", ('dog',))
    >>> task_of(pd.Series([0.5, 1.5, 2.5], name="price")).why
    "target 'price' holds 3 different numbers: regression"
    """
    name = str(y.name) if y.name is not None else "y"
    asked = None if task is None else choose("task", task, {kind: kind for kind in _TASKS})
    _check_complete(y, name)
    holds = _target_kind(y, name)
    distinct = int(y.nunique())
    if distinct < 2:
        received = f"{y.tolist()[0]!r} in all {len(y)} rows" if len(y) else "no rows"
        raise fault(f"target {name!r}", "of at least two different values", received, "Nothing to learn.")
    if holds == "numbers":
        numbers = y.to_numpy(dtype=np.float64)
        _check_finite(numbers, f"target {name!r}")
        whole = bool(np.all(numbers == np.round(numbers)))
        few = distinct == 2 or (distinct <= _MANY_CLASSES and distinct * _ROWS_PER_CLASS <= len(y))
        if asked == "regression" or (asked is None and not (whole and few)):
            return Task("regression", _why(name, f"{distinct} different numbers", asked, "regression"))
        described = f"{distinct} different whole numbers" if whole else f"{distinct} different numbers"
    elif asked == "regression":
        remedy = "Choose classification, or a column of numbers."
        raise fault(f"target {name!r}", "numbers for a regression", holds, remedy)
    else:
        _check_words(y, name, holds)
        described = holds
    return _classification(y, name, described, asked)


def _check_words(y: Column, name: str, holds: str) -> None:
    """Refuse a column of many different numbers in which some rows hold words: hardly are these classes."""
    if holds != "text":
        return
    numbers = pd.to_numeric(y, errors="coerce")
    if numbers.nunique() > max(_MANY_CLASSES, len(y) / 2):
        row = int(numbers.isna().to_numpy().argmax())
        received = f"{y.iloc[row]!r} in row {row} among {int(numbers.notna().sum())} numbers"
        raise type_fault(f"target {name!r}", "numbers or classes", received, "Correct such rows or leave them out.")


def _target_kind(y: Column, name: str) -> str:
    """Say what the target holds: text, categories, booleans or numbers; anything else is refused."""
    if isinstance(y.dtype, pd.CategoricalDtype):
        return "categories"
    inferred = pd.api.types.infer_dtype(y)
    table = {"string": "text", "boolean": "booleans", "integer": "numbers", "floating": "numbers"}
    table |= {"mixed-integer-float": "numbers"}
    if inferred not in table:
        remedy = "Convert it: dates to a number of days, a mixture to text with .astype(str)."
        expected = "text, categories, booleans or numbers"
        raise type_fault(f"target {name!r}", expected, f"{inferred} values", remedy)
    return table[inferred]


def _classification(y: Column, name: str, described: str, asked: str | None) -> Task:
    counts = y.value_counts()
    counts = counts[counts > 0]  # a categorical counts the categories that do not occur, too
    if counts.max() == 1:
        remedy = "An identifier? Name another target, or ask for a regression."
        received = f"{len(y)} rows, all different"
        raise fault(f"target {name!r}", "classes that occur more than once", received, remedy)
    single = tuple(sorted(str(label) for label in counts.index[counts == 1]))
    why = _why(name, described, asked, f"classification with {len(counts)} classes")
    return Task("classification", why, len(counts), single)


def _why(name: str, holds: str, asked: str | None, verdict: str) -> str:
    return f"target {name!r} holds {holds}: {verdict}" + (", as asked for" if asked else "")


# --- checks ----------------------------------------------------------------------------------------


def _check_frame(frame: object) -> None:
    if not isinstance(frame, pd.DataFrame):
        remedy = "pandas.DataFrame(array, columns=names)"
        raise type_fault("the table", "a pandas DataFrame", type(frame).__name__, remedy)
    check_names(list(frame.columns), "the table")
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise fault("the table", "(m, d) with at least one row and column", frame.shape)
    check_plain(frame, "the table")


def _check_finite(numbers: np.ndarray[Any, np.dtype[np.float64]], subject: str, limit: float = np.inf) -> None:
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        remedy = "Replace them by a number, or by nothing for a missing value."
        raise fault(subject, "finite", f"{infinite} infinite value{'s' * (infinite > 1)}", remedy)
    large = int((np.abs(numbers) > limit).sum())
    if large:
        received = f"{large} larger value{'s' * (large > 1)}"
        raise fault(subject, f"below {limit:.1e} in size (float32)", received, "Rescale it.")


def _cleaned(frame: Frame) -> Frame:
    """Apply skrub's rules for words that mean "missing", for dates and for numbers stored as text."""
    import skrub

    clean = skrub.Cleaner(drop_null_fraction=None).fit_transform(frame)
    columns = {}
    for name in frame.columns:
        column = clean[name]
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            numbers = pd.to_numeric(column, errors="coerce")
            if not (numbers.isna() & column.notna()).any():
                column = numbers
        columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def _check_features(frame: Frame) -> Frame:
    """Return the cleaned frame; infinities and numbers too large for float32 are refused."""
    _check_frame(frame)
    clean = _cleaned(frame)
    for name in clean.columns:
        column = clean[name]
        if pd.api.types.is_timedelta64_dtype(column):
            remedy = f"frame[{name!r}].dt.total_seconds()"
            raise type_fault(f"column {name!r}", "numbers, text or dates", "durations", remedy)
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
            _check_finite(numbers, f"column {name!r}", _FLOAT32_MAX)
    return clean


def check_columns(
    frame: Frame, expected_names: Iterable[str], *, numbers: Iterable[str] = (), dates: Iterable[str] = ()
) -> Frame:
    """Return the columns that a fitted pipeline expects, in its order; others, the target too, are left out.

    Raises `GlassnetError` when one is missing or holds infinities, or when one of `numbers` or `dates`, the columns
    that were learned as such, holds anything else: the encoders would take it for a missing value.

    >>> check_columns(pd.DataFrame({"price": [1], "city": ["Bonn"], "rooms": [3]}), ["rooms", "city"])
       rooms  city
    0      3  Bonn
    """
    _check_frame(frame)
    names = list(expected_names)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        others = [name for name in frame.columns if name not in names]
        guess = nearest(missing[0], others)
        remedy = f"Is {missing[0]!r} called {guess!r} here? Rename it." if guess else ""
        count = f", {len(missing)} of {len(names)} missing" if len(missing) > 1 else ""
        besides = f"; others that it has: {_first_names(others)}" if others else ""
        expected = f"one with the {len(names)} columns that were learned from"
        raise fault("the table", expected, f"none called {_first_names(missing)}{count}{besides}", remedy)
    wanted = frame[names]
    clean = _check_features(wanted)
    for name in numbers:
        _check_kind(clean[name], "numbers", pd.to_numeric(clean[name], errors="coerce"))
    for name in dates:
        if not pd.api.types.is_datetime64_any_dtype(clean[name]):
            text = clean[name].astype(str)
            _check_kind(clean[name], "dates", pd.to_datetime(text, errors="coerce", format="mixed", utc=True))
    return wanted


def _first_names(names: list[Any], most: int = 5) -> str:
    """Return "'a', 'b' and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _check_kind(column: Column, kind: str, understood: Column) -> None:
    """Demand that what was not missing has been understood."""
    lost = (understood.isna() & column.notna()).to_numpy()
    if lost.any():
        row = int(lost.argmax())
        received = f"{column.iloc[row]!r} in row {row}"
        remedy = "Correct it, or leave it empty for a missing value."
        raise fault(f"column {column.name!r}", f"{kind}, as in the rows that were learned from", received, remedy)


# --- the pipeline ----------------------------------------------------------------------------------


def make_pipeline(estimator: Any, X: Frame, *, random_state: int = 0) -> Pipeline:
    """Return `skrub.tabular_pipeline(estimator)`, unfitted, that gives a network finite float32 inputs.

    Numbers, also those written as text, pass; categories (fewer than `CATEGORY_LIMIT` values) become an input
    each, and one never seen before becomes zeros; text becomes 30 numbers (tf-idf of its letters, then a
    truncated SVD seeded by `random_state`); dates become year, seconds since 1970, and month, day, ... as
    points on circles. A missing number becomes the column's mean plus an input that says so. Then
    `SquashingScaler` centres and scales robustly into [-5, 5]. Empty columns are left out, constant ones
    become 0. Numbers pass through float32: whole ones above 16,777,216 lose their last digits. In prediction,
    words in a column of numbers count as missing.

    Raises `GlassnetError` for a table without rows, with equal names, infinities, or no value anywhere.

    >>> from sklearn.linear_model import Ridge
    >>> X = pd.DataFrame({"rooms": [3, 5, None, 4], "city": ["Bonn", "Jena", "Bonn", "Kiel"]})
    >>> pipeline = make_pipeline(Ridge(), X).fit(X, [410, 650, 400, 500])
    >>> [name for name, _ in pipeline.steps]
    ['tablevectorizer', 'simpleimputer', 'squashingscaler', 'ridge']
    >>> pipeline[:-1].transform(X).shape
    (4, 5)
    """
    import skrub
    from sklearn.preprocessing import OneHotEncoder

    if isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
        remedy = "Write MLPClassifier(), with its brackets."
        raise type_fault("estimator", "a scikit-learn estimator object", repr(estimator), remedy)
    clean = _check_features(X)
    if bool(clean.isna().all(axis=None)):
        raise fault("the table", "one with values", f"{X.shape[0]} rows that are missing everywhere")
    pipeline = skrub.tabular_pipeline(estimator)
    pipeline.set_params(
        tablevectorizer__cardinality_threshold=CATEGORY_LIMIT,
        # with skrub's drop="if_binary", a new category would pass for one of the two known, with a warning
        tablevectorizer__low_cardinality=OneHotEncoder(sparse_output=False, dtype="float32", handle_unknown="ignore"),
        # skrub's own default draws from NumPy's global random state
        tablevectorizer__high_cardinality=skrub.StringEncoder(n_components=30, random_state=random_state),
        # circles, not splines: fewer inputs, and persistence.py need not trust SciPy's spline objects
        tablevectorizer__datetime=skrub.DatetimeEncoder(periodic_encoding="circular"),
    )
    return pipeline


# --- what the command line prints ------------------------------------------------------------------


@dataclass(frozen=True)
class ColumnSummary:
    """One column: what it holds, how many values are missing, how many different ones there are."""

    name: str
    kind: Kind
    missing: int
    distinct: int


@dataclass(frozen=True)
class TableSummary:
    """A table at a glance: `columns` counts the target, too; `details` has a line for each column."""

    rows: int
    columns: int
    target: str | None
    details: tuple[ColumnSummary, ...]


def summarise(frame: Frame, target: str | None = None) -> TableSummary:
    """Describe each column as the pipeline will see it; `target`, if given, must be one of them.

    >>> frame = pd.DataFrame({"rooms": [3, 5, None], "city": ["Bonn", "Jena", "Bonn"]})
    >>> for line in summarise(frame).details:
    ...     print(line)
    ColumnSummary(name='rooms', kind='number', missing=1, distinct=2)
    ColumnSummary(name='city', kind='category', missing=0, distinct=2)
    """
    _check_frame(frame)
    if target is not None:
        choose("target column", target, dict.fromkeys(frame.columns))
    clean = _cleaned(frame)
    details = tuple(_describe(clean[name], str(name)) for name in frame.columns)
    return TableSummary(frame.shape[0], frame.shape[1], target, details)


def _describe(column: Column, name: str) -> ColumnSummary:
    missing, distinct = int(column.isna().sum()), int(column.nunique())
    kind: Kind
    if distinct == 0:
        kind = "empty"
    elif distinct == 1 and missing == 0:
        kind = "constant"
    elif pd.api.types.is_datetime64_any_dtype(column):
        kind = "date"
    elif pd.api.types.is_numeric_dtype(column):
        kind = "number"
    else:
        kind = "category" if distinct < CATEGORY_LIMIT else "text"
    return ColumnSummary(name, kind, missing, distinct)
