"""What was learned, written to disk and read back without pickle: no file can run code of its choice.

`save` and `load` keep a network in a safetensors file: its parameters under their names (W1, b1, ...), which any
other program can read, its running statistics, and its architecture as JSON.

`save_pipeline` and `load_pipeline` keep a fitted scikit-learn pipeline in a skops file: a zip archive of JSON
and plain NumPy arrays. Reading it makes only objects of the types in `TRUSTED` (and those that skops itself
trusts: scikit-learn's public estimators, numbers, text, containers).
"""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glassnet.arrays import Array
from glassnet.atomic import write_atomically as atomic_write
from glassnet.errors import GlassnetError, fault, type_fault
from glassnet.layout import Layout
from glassnet.network import Network
from glassnet.sealed import as_json, check_seal, one_line, read, read_bytes, seal

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["FORMAT", "TRUSTED", "Saved", "atomic_write", "load", "load_pipeline", "save", "save_pipeline"]


# what content may raise that `save` and skops did not write
_UNREADABLE = (
    AttributeError, EOFError, ImportError, LookupError, OSError, OverflowError, RecursionError, TypeError, ValueError,
)  # fmt: skip


# --- networks --------------------------------------------------------------------------------------

FORMAT = 1
"""The version of the file format; a file of another one is refused."""


@dataclass(frozen=True, eq=False)
class Saved:
    """What a file held: the network, theta (P,), BatchNorm's running statistics (Q,), and your metadata.

    Unpacks as `net, theta`, unless there are running statistics: predictions without them would be wrong.
    """

    net: Network
    theta: Array
    state: Array
    metadata: Mapping[str, Any]
    glassnet_version: str
    """The version that wrote the file."""

    def __iter__(self) -> Iterator[Any]:
        if self.state.size:
            remedy = "saved = load(path); saved.net.forward(saved.theta, X, state=saved.state)"
            raise fault("a network that unpacks as net, theta", "one without running statistics", "BatchNorm's", remedy)
        return iter((self.net, self.theta))


def save(
    path: str | Path,
    net: Network,
    theta: Array,
    state: Array | None = None,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Write a network with theta (P,) to `path` as a safetensors file, all or nothing (`atomic_write`).

    float32 and float64 are kept. `state` (Q,) is needed where the network has BatchNorm. `metadata` is yours: text
    -> whatever JSON can say. The same network gives the same bytes.

    Raises GlassnetError for a theta or state that does not fit, an activation of your own (JSON cannot hold a
    function), metadata that is not JSON, and a place that cannot be written.

    >>> import tempfile
    >>> from glassnet.layers import Dense
    >>> path = Path(tempfile.mkdtemp(), "model.safetensors")
    >>> net = Network(3, [Dense(4, "tanh"), Dense(1)])
    >>> save(path, net, net.init(rng=0), metadata={"data": "moons"})
    >>> again, theta = load(path)
    >>> again == net, np.array_equal(theta, net.init(rng=0)), load(path).metadata
    (True, True, {'data': 'moons'})
    """
    if state is None and net.state_layout.size:
        raise fault("state", "given for a network with BatchNorm", None, "Pass run.state.")
    state = np.empty(0, np.float32) if state is None else state
    tensors = _arrays("theta", net.layout, theta) | _arrays("state", net.state_layout, state)
    about: dict[str, object] = {
        "format": FORMAT,
        # the package itself, which its files may not import
        "glassnet_version": sys.modules["glassnet"].__version__,
        "network": net.to_dict(),
        "metadata": _checked_metadata(metadata or {}),
    }
    atomic_write(path, seal(about, tensors))


def load(path: str | Path) -> Saved:
    """Read the network that `save` wrote: `net, theta = load(path)`, or the whole record.

    Nothing in the file is executed: numbers become arrays, names are looked up in the tables of layers and activations.

    Raises GlassnetError, one line, for a file that is missing, cut off, damaged (the sha256 digest tells), foreign,
    of another version of the format, or whose arrays do not fit its network.
    """
    path = Path(path)
    tensors, about = read(path, "a network written by glassnet.save")
    if about.get("format") != FORMAT:
        received = f"format {about.get('format')!r}, written by glassnet {about.get('glassnet_version')!r}"
        raise fault(str(path), f"a network file of format {FORMAT}", received, "Update glassnet, or save it again.")
    about = check_seal(path, about, tensors)
    try:
        net = Network.from_dict(about["network"])
        known = {**dict(net.layout.shapes), **dict(net.state_layout.shapes)}
        metadata = dict(about["metadata"])
    except _UNREADABLE as error:
        raise fault(str(path), "a network that this glassnet knows", one_line(error)) from error
    shapes = {name: array.shape for name, array in tensors.items()}
    if shapes != known:
        names = [name for name in known | shapes if shapes.get(name) != known.get(name)]
        wrong = ", ".join(f"{name} {shapes.get(name, 'missing')} for {known.get(name, 'none')}" for name in names)
        raise fault(str(path), "a network whose arrays fit its layers", wrong[:200])
    theta, state = (_vector(path, layout, tensors) for layout in (net.layout, net.state_layout))
    return Saved(net, theta, state, metadata, str(about.get("glassnet_version")))


def _arrays(subject: str, layout: Layout, vector: Array) -> dict[str, Array]:
    """Return the named parts of a vector, each in memory of its own."""
    vector = np.asarray(vector)
    if vector.shape != (layout.size,) or vector.dtype not in (np.float32, np.float64):
        received = f"{vector.dtype} {vector.shape}"
        raise fault(subject, f"float32 or float64 ({layout.size},)", received, "A stack? Save its networks one by one.")
    return {name: np.ascontiguousarray(view) for name, view in layout.views(vector).items()}


def _vector(path: Path, layout: Layout, tensors: Mapping[str, Array]) -> Array:
    own = {name: tensors[name] for name in layout.names}
    dtypes = {array.dtype.type for array in own.values()} or {np.float64}
    if len(dtypes) > 1 or not dtypes <= {np.float32, np.float64}:
        received = " and ".join(sorted(dtype.__name__ for dtype in dtypes))
        raise fault(str(path), "a network whose arrays are all float32 or all float64", received)
    return layout.pack(own, dtypes.pop())


def _checked_metadata(metadata: Mapping[str, object]) -> dict[str, object]:
    remedy = 'Like {"data": "iris", "accuracy": 0.97}'
    try:
        back: dict[str, object] = json.loads(as_json(dict(metadata)))
    except (TypeError, ValueError, RecursionError) as error:
        raise fault("metadata", "names and what JSON can say", one_line(error), remedy) from error
    if back.keys() != metadata.keys():
        raise fault("metadata", "named by text", sorted(map(repr, metadata)), remedy)
    return back


# --- pipelines -------------------------------------------------------------------------------------

TRUSTED: tuple[str, ...] = (
    "glassnet.estimators.continuing.Memory",
    "glassnet.estimators.autoencoder.Autoencoder",
    "glassnet.estimators.ensemble.Ensemble",
    "glassnet.estimators.mlp.MLPClassifier",
    "glassnet.estimators.mlp.MLPRegressor",
    "glassnet.history.Columns",
    "glassnet.history.History",
    "glassnet.layers.BatchNorm",
    "glassnet.layers.Dense",
    "glassnet.layers.Dropout",
    "glassnet.layers.LayerNorm",
    "glassnet.network.Network",
    "glassnet.optimizers.AdaGrad",
    "glassnet.optimizers.Adam",
    "glassnet.optimizers.AdamW",
    "glassnet.optimizers.NAdam",
    "glassnet.optimizers.RMSProp",
    "glassnet.optimizers.SGD",
    "glassnet.posterior.Posterior",
    "glassnet.progress.Progress",
    "glassnet.rules.RuleState",
    "glassnet.schedules.Constant",
    "glassnet.schedules.Cosine",
    "glassnet.schedules.Exponential",
    "glassnet.schedules.InverseScaling",
    "glassnet.schedules.OneCycle",
    "glassnet.schedules.Piecewise",
    "glassnet.schedules.WarmUp",
    "numpy.dtype",
    # the same two under the names that earlier files call them by
    "glassnet.callbacks.Progress",
    "glassnet.optimizers.RuleState",
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
        raise fault("pipeline", "made of parts that skops can store", one_line(error), remedy) from error
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
    except _UNREADABLE as error:
        # the archive is whole (its check sums are right), so its content is not what skops writes
        remedy = "Was it written by another version of scikit-learn, skrub or skops?"
        raise fault(str(path), "a pipeline written by save_pipeline", one_line(error), remedy) from error
    _check_pipeline(pipeline, str(path))
    return pipeline


MOST_BYTES = 4 * 2**30
"""A pipeline that unpacks to more is refused before it is unpacked."""


def _checked_archive(path: Path) -> bytes:
    """Return the bytes of a zip archive that is whole: directory and check sums are right."""
    data = read_bytes(path)
    remedy = "It is cut off, damaged or of another format (pickles are never read)."
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if (size := sum(entry.file_size for entry in archive.infolist())) > MOST_BYTES:
                raise fault(str(path), f"at most {MOST_BYTES:,} bytes when unpacked", f"{size:,}", "Do not load it.")
            damaged = archive.testzip()
            if damaged is None and "schema.json" not in archive.namelist():
                damaged = "no schema.json"
    except GlassnetError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, LookupError,
        OverflowError, struct.error,
    ) as error:  # fmt: skip
        raise fault(str(path), "a skops file", one_line(error), remedy) from error
    if damaged is not None:
        raise fault(str(path), "a skops file", f"a damaged one ({' '.join(damaged.split())[:200]})", remedy)
    return data


def _check_pipeline(pipeline: Any, subject: str = "pipeline") -> None:
    from sklearn.pipeline import Pipeline

    if not isinstance(pipeline, Pipeline):
        raise type_fault(subject, "a scikit-learn Pipeline", type(pipeline).__name__, "See tables.make_pipeline.")
    steps = getattr(pipeline, "steps", None)
    if not isinstance(steps, list) or not steps or not all(isinstance(s, tuple) and len(s) == 2 for s in steps):
        raise fault(subject, "a Pipeline with steps, each a name and a part", type(steps).__name__)
