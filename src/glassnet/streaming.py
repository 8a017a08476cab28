"""Training on data that do not fit into memory: the loop of training.py over batches that are read one at a time.

for each epoch:
    for each (X, Y) that the source gives:       one in memory at a time
        the steps of `train` on these rows        stepping.py, or compiled, in an engine
    measure, record a row, ask the callbacks      training.run_epochs
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, Seed, as_floats, check_count, mapping_of
from glassnet.engines import Standing
from glassnet.errors import GlassnetError, fault, type_fault
from glassnet.history import Run
from glassnet.objective import Objective
from glassnet.recording import Table
from glassnet.rules import Rule, RuleState
from glassnet.sampling import Sampling
from glassnet.stepping import Data, EpochLoop, LastEpochs, Setting, Start, begin
from glassnet.training import Metric, check_batch_norm, prepare, run_epochs

__all__ = ["ArrayBatches", "Source", "cut_batches", "train_batches"]

WHOLE = 2**62
"""A batch size that no batch reaches: each is one step."""


class Source(Protocol):
    """Batches that can be gone through again and again: (X, Y) or (X, Y, sample_weight), and how many there are."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def train_batches(
    objective: Objective,
    theta: Array,
    batches: Source,
    *,
    optimizer: str | Rule = "adam",
    epochs: int = 100,
    batch_size: int | None = None,
    sampling: Sampling = "shuffle",
    validation: Sequence[npt.ArrayLike] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[object] = (),
    average: float | None = None,
    state: Array | None = None,
    rule_state: RuleState | None = None,
    rng: Seed = 0,
    engine: str | None = None,
    n_threads: int | None = None,
) -> Run:
    """Train from theta (P,) on batches of which one is in memory at a time; else as `train`, and with the same result.

    batches        gives, each time it is gone through, the same number of (X, Y) or (X, Y, sample_weight), and says how
                   many by `len`: a list, `gn.read_batches` for a Parquet or Arrow file, `gn.cut_batches` for memory-
                   mapped arrays, or a class of your own with `__len__` and `__iter__`. The weights are taken as they
                   are: their mean over all rows should be 1
    batch_size     None: each batch is one step. A number: so many rows a step, each batch being cut into several
    sampling       the order of the rows within a batch, where it is cut; the batches come as the source gives them
    metrics        measured on `validation`, which must be given then and is held in memory

    The other arguments, statuses, reasons and callbacks are those of `train`; `Checkpoint(folder)` is refused, since a
    stream cannot be compared with the one that was stored. A run that ends otherwise than completed has the theta of
    the last good epoch; a loss that blows up over one batch, and not only over an epoch, ends it.

    Raises GlassnetError for arguments that do not fit, and for a batch that does not, naming it.

    >>> import numpy as np
    >>> from glassnet import SGD, Dense, Network
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> objective = Objective(Network(1, [Dense(1)]), "squared_error")
    >>> parts = [(X[i : i + 5], 3 * X[i : i + 5] + 1) for i in range(0, 20, 5)]
    >>> train_batches(objective, np.zeros(2), parts, optimizer=SGD(0.5), epochs=50).theta.round(3)
    array([3., 1.])
    """
    X, Y, *_ = _first(batches)
    size = WHOLE if batch_size is None else check_count("batch_size", batch_size)
    if metrics and validation is None:
        raise fault("metrics", "measured on validation=(X, Y)", "no validation", "The stream is not read once more.")
    prepared = prepare(
        objective, theta, X, Y, optimizer=optimizer, epochs=epochs, batch_size=size, validation=validation,
        metrics=metrics, callbacks=callbacks, sampling=sampling, average=average, state=state, rule_state=rule_state,
        rng=rng, engine=engine, n_threads=n_threads,
    )  # fmt: skip
    if any(watcher.folder is not None for watcher in prepared.watchers):
        remedy = "Checkpoint(function) calls a function of your own with the record."
        raise fault("callbacks", "without Checkpoint(folder): a stream cannot be resumed", "one", remedy)
    loop = StreamLoop(batches, prepared.setting, prepared.start)
    table = Table(loop, prepared.setting.schedule, prepared.start.rule_state.t, epochs)
    return run_epochs(prepared, loop, table, lambda: False)


def _first(batches: Source) -> tuple[Any, ...]:
    if not (hasattr(batches, "__len__") and hasattr(batches, "__iter__")):
        remedy = "A generator can be gone through once only: give its class __len__ and __iter__."
        raise type_fault("batches", "batches with a length, to be gone through again", type(batches).__name__, remedy)
    for batch in batches:
        return _parts(batch, 1)
    raise fault("batches", "at least one batch", "none")


def _parts(batch: Any, number: int) -> tuple[Any, ...]:
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise fault(f"batch {number}", "(X, Y) or (X, Y, sample_weight)", type(batch).__name__)
    return tuple(batch)


# ---- the loop -----------------------------------------------------------------------------------------------------


@dataclass
class StreamLoop(LastEpochs):
    """An epoch is one pass over the source; every batch is an epoch of the loop inside, which goes on from theta."""

    source: Source
    setting: Setting
    start: Start
    epochs: int = 0
    steps: int = 0
    """Steps of an epoch, known after the first."""
    rows: int = 0
    why: str | None = None
    just: Array = field(default_factory=lambda: np.empty((0, 3)))

    def __post_init__(self) -> None:
        whole = replace(self.setting, epochs=self.setting.epochs * len(self.source))
        self.inside: EpochLoop = begin(whole, self.start)
        self.engine, self.estimate, self.rate_factor = self.inside.engine, self.inside.estimate, self.start.rate_factor
        self.history = [(*self.inside.kept(), self.inside.rule_state())] * 2

    @property
    def updates(self) -> int:
        """Steps taken so far."""
        return self.inside.updates

    def advance(self, epochs: int) -> Array:
        """Run one epoch."""
        self.just = np.empty((0, 3))
        self.inside.rate_factor = self.rate_factor
        before, total, rows, number = self.updates, 0.0, 0, 0
        for number, batch in enumerate(self.source, 1):
            data = self._checked(batch, number)
            self._feed(data, self.updates - before)
            done = self.inside.advance(1)
            if (why := self.inside.trouble()) is not None:
                self.why = why
                return self.just
            total, rows = total + float(done[-1, 0]) * len(data[0]), rows + len(data[0])
            norm, penalty = done[-1, 1:]
        self._compare(number, rows, self.updates - before)
        self.history = [self.history[1], (*self.inside.kept(), self.inside.rule_state())]
        self.just = np.array([[total / rows, norm, penalty]])
        self.epochs += 1
        return self.just

    def _checked(self, batch: Any, number: int) -> Data:
        objective = self.setting.objective
        try:
            X, Y, *weights = _parts(batch, number)
            X, Y, _ = objective.check(X, Y, stacks=False)
            check_batch_norm(objective.net, replace(self.setting.batches, m=len(X)))
            return X, Y.astype(self.start.theta.dtype, copy=False), _as_they_are(weights, X)
        except GlassnetError as error:
            raise GlassnetError(f"batch {number}: {error}") from error

    def _feed(self, data: Data, before: int) -> None:
        """Hand the loop inside its next rows; where its memory is too small for them, one like it goes on."""
        setting = replace(self.setting, data=data, batches=replace(self.setting.batches, m=len(data[0])))
        if self.inside.feed(setting, before):
            return
        standing = replace(self.inside.standing(), last_rows=np.empty(0, np.int64))
        rule_state = self.start.rule_state._replace(slots=standing.slots)
        start = Start(standing.theta.copy(), standing.state.copy(), rule_state, standing, self.rate_factor)
        chosen = replace(setting.objective, engine=self.engine)
        self.inside = begin(replace(setting, objective=chosen), start)
        self.inside.feed(setting, before)

    def _compare(self, number: int, rows: int, steps: int) -> None:
        """Demand that every pass is like the first one: schedules and the history count its steps."""
        if number != len(self.source):
            raise fault("batches", f"{len(self.source)} of them, as len says", f"{number} in epoch {self.epochs + 1}")
        self.steps, self.rows = self.steps or steps, self.rows or rows
        if (rows, steps) != (self.rows, self.steps):
            received = f"{rows} rows in {steps} steps in epoch {self.epochs + 1}"
            raise fault(
                "every pass over the batches", f"{self.rows} rows in {self.steps} steps, as the first", received
            )

    def last_look(self) -> str | None:
        """Test the loss after the last step, on its batch."""
        return self.inside.last_look()

    def standing(self) -> Standing:
        """Return copies of where the loop stands, at the end of an epoch."""
        return replace(self.inside.standing(), before=self.history[0][:2], epochs=self.epochs)

    def feed(self, setting: Setting, before: int) -> bool:
        """Refuse other rows: they come from the source."""
        return False


def _as_they_are(weights: Sequence[npt.ArrayLike], X: Array) -> Array | None:
    """Return the weights of a batch, unscaled: those of the other batches are not known."""
    if not weights or weights[0] is None:
        return None
    w = as_floats("sample_weight", weights[0])
    if w.shape != (len(X),):
        raise fault("sample_weight", f"({len(X)},)", w.shape, "One weight a row of X.")
    if w.min() < 0:
        raise fault("sample_weight", "at least 0", f"{w.min():g}")
    return w.astype(X.dtype, copy=False)


# ---- batches of arrays ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ArrayBatches:
    """Consecutive rows of arrays, copied when their turn comes."""

    X: Array
    Y: Array
    sample_weight: Array | None
    rows: int

    def __len__(self) -> int:
        """Return how many there are."""
        return -(-len(self.X) // self.rows)

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Yield (X, Y) or (X, Y, sample_weight); what is behind is given back to the system where it is mapped."""
        arrays = [self.X, self.Y, *([] if self.sample_weight is None else [self.sample_weight])]
        for start in range(0, len(self.X), self.rows):
            yield tuple(np.array(array[start : start + self.rows], subok=False) for array in arrays)
            for array in arrays:
                _give_back(mapping_of(array))


def _give_back(mapped: np.memmap[Any, Any] | None) -> None:
    """Let the system have the pages of a mapped file that were read; where they are needed again, they are read again.

    Those of a private mapping (mode "c") are left alone, since what was written into them is nowhere else.
    """
    owner: object = mapped
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if mapped is not None and mapped.mode != "c" and isinstance(owner, mmap.mmap) and hasattr(owner, "madvise"):
        owner.madvise(mmap.MADV_DONTNEED)


def cut_batches(
    X: npt.ArrayLike, Y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *, rows: int = 65_536
) -> ArrayBatches:
    """Cut X (m, d), Y (m, k) and sample_weight (m,) into batches of `rows` consecutive rows, copied in their turn.

    Meant for `numpy.memmap`: at no time are more than one or two batches in memory. Shuffle the rows of a file once,
    when it is written; a sorted one trains badly.

    Raises GlassnetError for arrays of different lengths.

    >>> [x.shape for x, y in cut_batches(np.zeros((10, 3)), np.zeros((10, 1)), rows=4)]
    [(4, 3), (4, 3), (2, 3)]
    """
    inputs, targets = np.asarray(X), np.asarray(Y)
    weights = None if sample_weight is None else np.asarray(sample_weight)
    lengths = {len(array) for array in (inputs, targets, weights) if array is not None}
    if len(lengths) != 1:
        raise fault("X, Y and sample_weight", "of one length", " and ".join(map(str, sorted(lengths))))
    return ArrayBatches(inputs, targets, weights, check_count("rows", rows))
