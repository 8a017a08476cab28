"""A certificate: is this very fitted model computed rightly, by both engines, in its file and in its exports?

`verify` tests the model that it is given, at its own theta and on its own rows, not the library in general. Each check
is a number, what it may be at most, and one sentence.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet import losses
from glassnet.arrays import Array, Seed, check_count, generator
from glassnet.errors import GlassnetError, fault
from glassnet.estimators.consulting import case_of_estimator
from glassnet.export.numpy_code import to_numpy
from glassnet.insight.differences import choose_entries, derivative, noise_of
from glassnet.insight.patient import Case
from glassnet.objective import Objective
from glassnet.onnx_export import to_onnx
from glassnet.optimizers import Adam
from glassnet.persistence import load, save
from glassnet.training import train

__all__ = ["Certificate", "Check", "verify"]

BOUND = 1e-5
"""The largest relative error of an entry of the gradient."""
KINK = 1e-4
"""How near to 0 a pre-activation may be for the differences above not to step over it."""


@dataclass(frozen=True)
class Check:
    """One check: `error` is at most `bound` where it passed; `ok` None: not made, and `words` say why."""

    name: str
    ok: bool | None
    error: float
    bound: float
    words: str

    def __str__(self) -> str:
        mark = {True: "passed ", False: "FAILED ", None: "not made"}[self.ok]
        numbers = f"  {self.error:.1e} (at most {self.bound:.0e})" if self.ok is not None else ""
        return f"{mark:9}{self.name:10}{self.words}{numbers}"


@dataclass(frozen=True)
class Certificate:
    """What `verify` found. `ok`: no check failed; those that could not be made are not counted."""

    model: str
    rows: int
    checks: tuple[Check, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is not False for check in self.checks)

    def __str__(self) -> str:
        made = sum(check.ok is not None for check in self.checks)
        passed = sum(check.ok is True for check in self.checks)
        head = f"{self.model}, on {self.rows:,} rows: {passed} of {made} checks passed, {self.seconds:.1f} s"
        return "\n".join([head, *map(str, self.checks)])

    def to_json(self) -> str:
        """Return everything as JSON."""
        checks = [{**asdict(check), "error": None if check.ok is None else check.error} for check in self.checks]
        return json.dumps({"ok": self.ok, **asdict(self), "checks": checks}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Return what `to_json` wrote; raises GlassnetError for anything else."""
        try:
            about = json.loads(text)
            checks = tuple(
                Check(str(c["name"]), c["ok"], np.nan if c["error"] is None else float(c["error"]), float(c["bound"]),
                      str(c["words"])) for c in about["checks"]
            )  # fmt: skip
            return cls(str(about["model"]), int(about["rows"]), checks, float(about["seconds"]))
        except (KeyError, TypeError, ValueError) as error:
            raise fault("the certificate", "JSON that Certificate.to_json wrote", repr(error)) from error


def verify(
    estimator: Any, X: Any, y: Any, *, max_rows: int = 1000, max_entries: int = 200, rng: Seed = 0
) -> Certificate:
    """Check a fitted model of glassnet (alone, or at the end of a pipeline) on rows X and y, and return a certificate.

    - gradient: at the fitted theta, `max_entries` entries of dJ/dtheta, some of every parameter, against central
      differences of J (relative error below 1e-5)
    - engines: one epoch of training from theta in the reference and in the compiled engine ends at the same theta
    - predictions: the reference engine finds what `predict` answers
    - file: the network, saved and loaded, gives the same outputs to the last bit
    - numpy, onnx: the exported model gives the same predictions (onnx where onnxruntime is installed)

    At most `max_rows` rows are used, drawn by `rng`. The model is not changed. Raises GlassnetError for a model that is
    not fitted, and for rows that it was not fitted to.

    >>> from glassnet import MLPRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=3, activation="tanh", solver="lbfgs", random_state=0)
    >>> verify(model.fit(X, X.ravel() ** 2), X, X.ravel() ** 2).ok
    True
    """
    begin = perf_counter()
    draw = generator(rng)
    X, y = _some(X, y, check_count("max_rows", max_rows, 2), draw)
    case = case_of_estimator(estimator, X, y, None)
    if case.fitted is None:
        raise fault("estimator", "fitted", type(estimator).__name__, "Call fit first.")
    kind = f"{case.dialect.model} {'-'.join(map(str, case.net.sizes))}"
    broken = int((~np.isfinite(case.fitted)).sum())
    if broken:
        words = f"{broken:,} of {case.fitted.size:,} weights are NaN or infinite"
        failed = (Check("finite", False, float(broken), 0.0, words),)
        return Certificate(kind, len(case.X), failed, perf_counter() - begin)
    return Certificate(kind, len(case.X), _checks(estimator, case, X, max_entries, draw), perf_counter() - begin)


def _checks(estimator: Any, case: Case, X: Any, max_entries: int, draw: np.random.Generator) -> tuple[Check, ...]:
    return (
        _gradient(case, check_count("max_entries", max_entries), draw),
        _engines(case),
        _predictions(estimator, case, X),
        _file(case),
        _export("numpy", lambda: _by_numpy(estimator), estimator, case, X),
        _export("onnx", lambda: _by_onnx(estimator), estimator, case, X),
    )


def _some(X: Any, y: Any, most: int, draw: np.random.Generator) -> tuple[Any, Any]:
    m = X.shape[0] if hasattr(X, "shape") else len(X)
    if m <= most:
        return X, y
    chosen = np.sort(draw.choice(m, most, replace=False))

    def part(rows: Any) -> Any:
        return rows.iloc[chosen] if hasattr(rows, "iloc") else np.asarray(rows)[chosen]

    return part(X), part(y)


def _check(name: str, error: float, bound: float, words: str) -> Check:
    return Check(name, bool(error <= bound), float(error), bound, words)


# ---- the gradient -------------------------------------------------------------------------------------------------


def _gradient(case: Case, most: int, draw: np.random.Generator) -> Check:
    """Compare entries of the gradient, the largest among them, with differences."""
    assert case.fitted is not None
    double = _again(case)
    theta, state = case.fitted.astype(np.float64), case.fitted_state
    smooth = _smooth_rows(case, theta)
    if not smooth.any():
        return Check("gradient", None, np.nan, 0.0, "every row lies on a kink, where there is no derivative")
    X, Y = case.X[smooth].astype(np.float64), case.Y[smooth].astype(np.float64)
    weights = None if case.weights is None else case.weights[smooth]

    def J(at: Array) -> float:
        return float(double.value(at, X, Y, weights, state=state))

    computed = double.value_and_grad(theta, X, Y, weights, state=state)[1]
    at, worst, where = J(theta), 0.0, ""
    noise = noise_of(lambda step: J(theta + step * np.sign(computed)))
    floor = max(1e-3 * float(np.abs(computed).max()), 1e-7 * max(abs(at), 1e-3))
    shares = max(1, most // len(case.net.layout.shapes))
    for name, view in case.net.views(np.arange(theta.size)).items():
        entries = view.ravel()
        for i in entries[choose_entries(computed[entries], entries.size, shares, draw)]:
            expected = derivative(_along(J, theta, i), at, noise, floor=floor)[0]
            error = abs(computed[i] - expected) / max(abs(computed[i]), abs(expected), floor)
            if error > worst or not np.isfinite(error):
                worst, where = error, f", worst in {name}"
    left_out = f", {(~smooth).sum()} rows on a kink left out" if not smooth.all() else ""
    return _check("gradient", worst, BOUND, f"dJ/dtheta against differences at theta{where}{left_out}")


def _smooth_rows(case: Case, theta: Array) -> Array:
    """Return which rows (m,) are not close to where ReLU and its like bend: training to the end often leads there."""
    trace = case.net.forward(theta, case.X.astype(np.float64), state=case.fitted_state)
    near = [np.abs(z).min(axis=1) for z in trace.z[1:-1]]
    if losses.get(case.objective.loss).name in ("absolute_error", "quantile"):
        near.append(np.abs(trace.output - case.Y).min(axis=1))
    return np.asarray(np.all(np.array([*near, np.ones(len(case.X))]) > KINK, axis=0))


def _again(case: Case) -> Objective:
    """Return the objective anew, so that no engine's choice is left in it."""
    return Objective(case.net, case.objective.loss, l1=case.objective.l1, l2=case.objective.l2)


def _along(J: Callable[[Array], float], theta: Array, i: int) -> Callable[[float], float]:
    """Return J as a function of a step of theta_i."""

    def value(step: float) -> float:
        moved = theta.copy()
        moved[i] += step
        return J(moved)

    return value


# ---- engines, predictions, files ----------------------------------------------------------------------------------


def _engines(case: Case) -> Check:
    """Train one epoch from the fitted theta in each engine."""
    assert case.fitted is not None
    name, words = "engines", "an epoch of training in both engines"
    if find_spec("numba") is None:
        return Check(name, None, np.nan, 0.0, "the compiled engine needs numba")
    ends = []
    for engine in ("numpy", "numba"):
        objective = _again(case)
        try:
            run = train(
                objective, case.fitted, case.X, case.Y, sample_weight=case.weights, optimizer=case.rule or Adam(1e-3),
                epochs=1, batch_size=min(case.batch_size, len(case.X)), rng=0, state=case.fitted_state, engine=engine,
            )  # fmt: skip
        except GlassnetError as error:
            return Check(name, None, np.nan, 0.0, f"{engine} cannot run it: {error}")
        ends.append(run.theta.astype(np.float64))
    scale = max(float(np.abs(ends[0]).max()), 1.0)
    bound = 1e-9 if case.fitted.dtype == np.float64 else 1e-4
    return _check(name, float(np.abs(ends[1] - ends[0]).max()) / scale, bound, words)


def _outputs(case: Case) -> Array:
    assert case.fitted is not None
    return case.net.forward(case.fitted, case.X, state=case.fitted_state).output


def _answers(estimator: Any, X: Any) -> Array:
    """Return probabilities (m, k) of a classifier, or predictions (m, k)."""
    predict = getattr(estimator, "predict_proba", None) or estimator.predict
    found = np.asarray(predict(X), dtype=np.float64)
    return found.reshape(len(found), -1)


def _bound(case: Case) -> float:
    """Return how far two ways to the same outputs may differ, in units of the largest."""
    return 1e-9 if _outputs(case).dtype == np.float64 else 1e-5


def _predictions(estimator: Any, case: Case, X: Any) -> Check:
    """Compare what the model answers with the reference engine's outputs at the fitted theta."""
    answers, outputs = _answers(estimator, X), _outputs(case).astype(np.float64)
    if case.dialect.prefix.endswith("regressor__"):  # the answers are scaled back, which is a straight line
        error = max(_bent(a, z) for a, z in zip(answers.T, outputs.T, strict=True))
    else:
        error = _apart(answers[:, -1:] if outputs.shape[1] == 1 else answers, outputs)
    return _check("predict", error, _bound(case), "what the model answers against the reference engine")


def _bent(answers: Array, outputs: Array) -> float:
    """Return how far answers are from a straight line over the outputs, relative to their range."""
    if np.ptp(outputs) == 0:
        return float(np.ptp(answers))
    line = np.polyval(np.polyfit(outputs, answers, 1), outputs)
    return _apart(answers, line)


def _apart(a: Array, b: Array) -> float:
    return float(np.abs(a - b).max()) / max(float(np.abs(b).max()), 1e-300) if a.size else 0.0


def _file(case: Case) -> Check:
    """Save, load, and compare every bit of the outputs."""
    assert case.fitted is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.safetensors")
        try:
            save(path, case.net, case.fitted, case.fitted_state)
        except GlassnetError as error:
            return Check("file", None, np.nan, 0.0, str(error))
        saved = load(path)
    state = saved.state if saved.state.size else case.fitted_state
    again = saved.net.forward(saved.theta, case.X, state=state).output
    same = again.tobytes() == _outputs(case).tobytes()
    return _check("file", 0.0 if same else _apart(again, _outputs(case)) or 1.0, 0.0, "saved and loaded, the same bits")


# ---- exports ------------------------------------------------------------------------------------------------------


def _export(name: str, make: Callable[[], Callable[[Array], Array]], estimator: Any, case: Case, X: Any) -> Check:
    """Compare an exported model with the estimator, or say why there is none."""
    try:
        predict = make()
        rows = np.asarray(X, dtype=np.float64)
    except GlassnetError as error:
        return Check(name, None, np.nan, 0.0, str(error))
    except ValueError:
        return Check(name, None, np.nan, 0.0, "the rows hold more than numbers: columns are encoded outside")
    found, answers = predict(rows), _answers(estimator, X)
    found = np.asarray(found, dtype=np.float64).reshape(len(answers), -1)
    if found.shape[1] == 1 and answers.shape[1] == 2:
        answers = answers[:, 1:]
    return _check(name, _apart(found, answers), _bound(case), f"exported to {name}, against what the model answers")


def _by_numpy(estimator: Any) -> Callable[[Array], Array]:
    """Return `outputs` of the file that `to_numpy` writes."""
    space: dict[str, Any] = {"__name__": "exported"}
    exec(compile(to_numpy(estimator), "exported.py", "exec"), space)  # our own text, written a line before
    outputs: Callable[[Array], Array] = space["outputs"]
    return outputs


def _by_onnx(estimator: Any) -> Callable[[Array], Array]:
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        raise GlassnetError("onnx and onnxruntime are not installed.")
    import onnxruntime

    session = onnxruntime.InferenceSession(to_onnx(estimator), providers=["CPUExecutionProvider"])
    kind = {"tensor(float)": np.float32, "tensor(double)": np.float64}[session.get_inputs()[0].type]

    def outputs(X: npt.ArrayLike) -> Array:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: np.asarray(X, dtype=kind)})[0])

    return outputs
