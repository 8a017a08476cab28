"""What was learned, written to disk and read back without pickle.

`save_pipeline` and `load_pipeline` keep a fitted scikit-learn pipeline in a skops file: a zip archive of JSON
and plain NumPy arrays. Reading it makes only objects of the types in `TRUSTED` (and those that skops itself
trusts: scikit-learn's public estimators, numbers, text, containers), so that a file from a stranger cannot
run code of its choice.
"""

from __future__ import annotations

import os
import secrets
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import fault, type_fault

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["TRUSTED", "atomic_write", "load_pipeline", "save_pipeline"]


# --- files -----------------------------------------------------------------------------------------


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` so that at any moment either the old file or the whole new one is there.

    The bytes go to a temporary file in the same folder, are forced to disk (fsync), and the file is renamed
    (`os.replace`, atomic within one file system). Whatever goes wrong, the temporary file is removed.

    Raises `GlassnetError` when the folder does not exist, `path` is a folder, or the system refuses to write.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "note.bin")
    >>> atomic_write(path, b"all or nothing")
    >>> path.read_bytes()
    b'all or nothing'
    """
    path = Path(path)
    if path.is_dir():
        raise fault(str(path), "a file to write", "a folder", "Add a file name.")
    if not path.parent.is_dir():
        raise fault(str(path), "in an existing folder", f"{path.parent}, which is none", "Create it first.")
    temporary = path.parent / f".{path.name[:100]}.{secrets.token_hex(8)}.tmp"
    try:
        # "x": never an existing file; the user's usual permissions, which tempfile would narrow to 0600
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise fault(str(path), "a place that can be written", str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)  # after the rename it is no longer there


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to disk, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise fault(str(path), "a file", "a folder")
    try:
        return path.read_bytes()
    except OSError as error:
        raise fault(str(path), "a readable file", error.strerror or str(error)) from error


# --- pipelines -------------------------------------------------------------------------------------

TRUSTED: tuple[str, ...] = (
    "glassnet.estimators.mlp.MLPClassifier",
    "glassnet.estimators.mlp.MLPRegressor",
    "glassnet.layers.Dense",
    "glassnet.network.Network",
    "glassnet.optimizers.RuleState",
    "numpy.dtype",
    # the time zone of a column of dates; pandas 2 has the longer name
    "datetime.timedelta",
    "datetime.timezone",
    "pandas.DatetimeTZDtype",
    "pandas.core.dtypes.dtypes.DatetimeTZDtype",
    "zoneinfo.ZoneInfo",
    # scikit-learn: what its own networks keep beside their public parts
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    # skrub: the steps that tables.make_pipeline puts before the network
    "skrub._apply_to_each_col.ApplyToEachCol",
    "skrub._check_input.CheckInputDataFrame",
    "skrub._clean_categories.CleanCategories",
    "skrub._clean_null_strings.CleanNullStrings",
    "skrub._datetime_encoder.DatetimeEncoder",
    "skrub._datetime_encoder._CircularEncoder",
    "skrub._drop_uninformative.DropUninformative",
    "skrub._duration_to_float.DurationToFloat",
    "skrub._squashing_scaler.SquashingScaler",
    "skrub._squashing_scaler._MinMaxScaler",
    "skrub._string_encoder.StringEncoder",
    "skrub._table_vectorizer.PassThrough",
    "skrub._table_vectorizer.ShortReprDict",
    "skrub._table_vectorizer.TableVectorizer",
    "skrub._to_datetime.ToDatetime",
    "skrub._to_float.ToFloat",
    "skrub._to_str.ToStr",
    # skrub: which step takes which column; the functions only look at a column and say yes or no
    "skrub._dataframe._common.is_any_date",
    "skrub._dataframe._common.is_categorical",
    "skrub._dataframe._common.is_numeric",
    "skrub._table_vectorizer._created_by_predicate",
    "skrub.selectors._base.All",
    "skrub.selectors._base.And",
    "skrub.selectors._base.Cols",
    "skrub.selectors._base.Filter",
    "skrub.selectors._base.Sub",
    "skrub.selectors._selectors._cardinality_below",
)
"""The types, beyond those that skops trusts by itself, that a pipeline file may hold."""


def save_pipeline(path: str | Path, pipeline: Pipeline) -> None:
    """Write a fitted pipeline to `path` as a skops file, all or nothing (`atomic_write`).

    Raises `GlassnetError` when it holds a type that `load_pipeline` would refuse: then nothing is written.

    >>> import tempfile
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> path = Path(tempfile.mkdtemp(), "model.skops")
    >>> save_pipeline(path, make_pipeline(Ridge()).fit([[0.0], [1.0]], [0.0, 2.0]))
    >>> load_pipeline(path).predict([[0.5]])
    array([1.])
    """
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    _check_pipeline(pipeline)
    try:
        # deflated: the JSON inside is three quarters indentation, and shrinks fifty-fold
        data = skops.io.dumps(pipeline, compression=zipfile.ZIP_DEFLATED)
    except UnsupportedTypeException as error:
        remedy = "Leave that step out."
        raise fault("pipeline", "made of parts that skops can store", _line(error), remedy) from error
    unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
    if unknown:
        remedy = "Only what tables.make_pipeline builds can be saved."
        raise fault("pipeline", "made of trusted types", ", ".join(unknown), remedy)
    atomic_write(path, data)


def load_pipeline(path: str | Path) -> Pipeline:
    """Read a pipeline that `save_pipeline` wrote; types are checked before any object is made.

    Raises `GlassnetError`, one line, for a file that is missing, cut off, damaged, no skops file (a pickle is
    never read), holds a type that is not in `TRUSTED`, or holds something other than a pipeline.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    path = Path(path)
    data = _checked_archive(path)
    trusted = list(TRUSTED)
    try:
        pipeline = skops.io.loads(data, trusted=trusted)
    except UntrustedTypesFoundException as error:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted))
        remedy = "It was not written by glassnet, or by a version of it that does not fit: do not load it."
        raise fault(str(path), "made of trusted types", ", ".join(unknown), remedy) from error
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ImportError,
        RecursionError,
        OSError,
    ) as error:
        # the archive is whole (its check sums are right), so its content is not what skops writes
        remedy = "Was it written by another version of scikit-learn, skrub or skops?"
        raise fault(str(path), "a pipeline written by save_pipeline", _line(error), remedy) from error
    _check_pipeline(pipeline, str(path))
    return pipeline


# what skops may raise on content that it did not write
_UNREADABLE = (AttributeError, ImportError, LookupError, OSError, RecursionError, TypeError, ValueError)


def _checked_archive(path: Path) -> bytes:
    """Return the bytes of a zip archive that is whole: directory and check sums are right."""
    import io

    data = _read(path)
    remedy = "It is cut off, damaged or of another format (pickles are never read)."
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
            if damaged is None and "schema.json" not in archive.namelist():
                damaged = "no schema.json"
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise fault(str(path), "a skops file", _line(error), remedy) from error
    if damaged is not None:
        raise fault(str(path), "a skops file", f"a damaged one ({damaged})", remedy)
    return data


def _check_pipeline(pipeline: Any, subject: str = "pipeline") -> None:
    from sklearn.pipeline import Pipeline

    if not isinstance(pipeline, Pipeline):
        raise type_fault(subject, "a scikit-learn Pipeline", type(pipeline).__name__, "See tables.make_pipeline.")


def _line(error: BaseException) -> str:
    """Return an error's class and text on one line, not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
