"""From a trained model to its plan: networks with theta, what `gn.load` gives, estimators, pipelines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.errors import choose, fault, type_fault
from glassnet.export.plan import Both, Kind, Plan, Shares, Step, network_steps, size_after
from glassnet.export.scaling import backwards, forwards, kind_of
from glassnet.history import Run
from glassnet.network import Network
from glassnet.persistence import Saved

__all__ = ["plan_of"]

DTYPES = {"float32": np.float32, "float64": np.float64}
EXPECTED = (
    "(net, theta), (net, run), (net, theta, state), what gn.load gives, a fitted estimator of glassnet, "
    "or a pipeline that ends in one"
)
VECTORIZED = (
    "The inputs are columns as skrub's TableVectorizer, the first step of the pipeline, gives them. In Python: "
    "pipeline[0].transform(table), where pipeline is gn.persistence.load_pipeline('RUN/model.skops')."
)


def plan_of(model: Any, dtype: str | None = None) -> Plan:
    """Return the plan of a model; `dtype` None is that of its weights.

    Raises GlassnetError for models that cannot be exported, with what can be done instead.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite, or not in float32, is found below
        plan = _read(model, dtype)
    for step in plan.steps:
        for value in vars(step).values():
            if isinstance(value, np.ndarray) and not np.isfinite(value).all():
                remedy = "Pass dtype='float64'." if plan.dtype == np.float32 else "Fit it again, to smaller numbers."
                raise fault("the numbers of the model", f"finite in {plan.dtype}", "NaN or infinity", remedy)
    return plan


def _read(model: Any, dtype: str | None) -> Plan:
    """Return the plan by what the model is."""
    if isinstance(model, Saved):
        model = (model.net, model.theta, model.state)
    if isinstance(model, tuple):
        net, theta, state = _parts(model)
        return _of_network(net, theta, state, dtype)

    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import Pipeline

    from glassnet.estimators import Autoencoder, Ensemble, MLPClassifier, MLPRegressor

    if isinstance(model, MLPClassifier | MLPRegressor | Autoencoder):
        _check_fitted(model, "theta_")
        return _of_classifier(model, dtype) if isinstance(model, MLPClassifier) else _of_numbers(model, dtype)
    if isinstance(model, TransformedTargetRegressor):
        _check_fitted(model, "regressor_")
        return _of_scaled_target(model, dtype)
    if isinstance(model, Pipeline):
        return _of_pipeline(model, dtype)
    remedy = "Export its members_ one by one." if isinstance(model, Ensemble) else ""
    remedy = "Export its best_estimator_." if hasattr(model, "best_estimator_") else remedy
    raise type_fault("model", EXPECTED, type(model).__name__, remedy)


def _check_fitted(model: Any, attribute: str) -> None:
    if not hasattr(model, attribute):
        raise fault("model", "fitted", f"a {type(model).__name__} that is not", "Call fit first.")


# ---- networks -----------------------------------------------------------------------------------------------------


def _parts(model: tuple[Any, ...]) -> tuple[Network, Any, Any]:
    """Return network, theta and state of a tuple."""
    if not 2 <= len(model) <= 3 or not isinstance(model[0], Network):
        raise type_fault("model", EXPECTED, f"a tuple of {', '.join(type(part).__name__ for part in model)}")
    net, theta = model[0], model[1]
    if isinstance(theta, Run):
        return net, theta.theta, theta.state
    return net, np.asarray(theta), model[2] if len(model) == 3 else None


def _of_network(net: Network, theta: Any, state: Any, dtype: str | None) -> Plan:
    net.check_theta(theta)
    size = net.state_layout.size
    if size and state is None:
        raise fault("model", "(net, theta, state) for a network with BatchNorm", "(net, theta)", "Pass (net, run).")
    state = np.empty(0) if state is None or not size else np.asarray(state)
    if state.shape != (size,):
        raise fault("state", f"({size},)", state.shape, "Take run.state.")
    number = np.dtype(theta.dtype if dtype is None else choose("dtype", dtype, DTYPES))
    return _plan(network_steps(net, theta, state, number), _names(None, net.n_inputs), number, "network")


def _plan(
    steps: tuple[Step, ...], inputs: tuple[str, ...], dtype: npt.DTypeLike, kind: Kind, classes: tuple[Any, ...] = ()
) -> Plan:
    """Return the plan with names for its outputs: the classes, or y0, y1, ..."""
    plan = Plan(steps, inputs, (), np.dtype(dtype), kind, classes)
    names = tuple(map(str, classes)) or tuple(f"y{j}" for j in range(plan.sizes[-1]))
    return replace(plan, outputs=names)


def _names(model: Any, n_inputs: int) -> tuple[str, ...]:
    """Return the names of the columns that a model was fitted to, or x0, x1, ..."""
    known = getattr(model, "feature_names_in_", None)
    return tuple(f"x{i}" for i in range(n_inputs)) if known is None else tuple(map(str, known))


# ---- estimators ---------------------------------------------------------------------------------------------------


def _of_numbers(model: Any, dtype: str | None) -> Plan:
    plan = _of_network(model.network_, model.theta_, model.state_, dtype)
    return replace(plan, inputs=_names(model, len(plan.inputs)), kind="regressor")


def _of_classifier(model: Any, dtype: str | None) -> Plan:
    """Behind the outputs comes what `predict_proba` does with them."""
    plan = _of_network(model.network_, model.theta_, model.state_, dtype)
    classes = tuple(np.asarray(model.classes_).tolist())
    if len(classes) < 2:
        raise fault("model", "a classifier of at least two classes", f"one class: {classes}")
    steps = plan.steps
    if len(plan.outputs) == 1:
        steps += (Both(),)
    elif not model._multilabel and model.network_.layers[-1].function.range != "simplex":
        steps += (Shares(),)
    kind: Kind = "multilabel" if model._multilabel else "classifier"
    return _plan(steps, _names(model, len(plan.inputs)), plan.dtype, kind, classes)


def _of_scaled_target(model: Any, dtype: str | None) -> Plan:
    """A regressor whose target was scaled: the scaling is undone behind it."""
    plan = _read(model.regressor_, dtype)
    behind = backwards(model.transformer_, len(plan.outputs), plan.dtype)
    return replace(plan, steps=(*plan.steps, *behind))


# ---- pipelines ----------------------------------------------------------------------------------------------------


def _of_pipeline(pipeline: Any, dtype: str | None) -> Plan:
    """What stands before the network is put before its steps, from the front."""
    plan = _read(pipeline.steps[-1][1], dtype)
    before = [step for _, step in pipeline.steps[:-1] if step is not None and step != "passthrough"]
    notes: tuple[str, ...] = ()
    names = _names(before[0] if before else pipeline.steps[-1][1], len(plan.inputs))
    if before and kind_of(before[0]) == "skrub.TableVectorizer":
        names = tuple(map(str, before[0].get_feature_names_out()))
        encoded = _encoded(before[0])
        notes = (VECTORIZED, *encoded) if encoded else ()
        before = before[1:]
    elif before and getattr(before[0], "feature_names_in_", None) is None:
        names = _names(None, getattr(before[0], "n_features_in_", len(plan.inputs)))
    steps: list[Step] = []
    size = len(names)
    for transformer in before:
        for step in forwards(transformer, size, plan.dtype):
            steps.append(step)
            size = size_after(step, size)
    return replace(plan, steps=(*steps, *plan.steps), inputs=names, notes=(*plan.notes, *notes))


def _encoded(vectorizer: Any) -> tuple[str, ...]:
    """Return a sentence for each column that is not a number, on what its inputs are."""
    says = {
        "low_cardinality": "1 in the input that is called after its word (nan: missing), else 0, all 0 for a new word",
        "datetime": "year, seconds since 1970, and month, day and the like as points on circles",
        "high_cardinality": "made from its letters; only the pipeline can do that",
    }
    kinds = {column: kind for kind, columns in vectorizer.kind_to_columns_.items() for column in columns}
    notes = []
    for column, inputs in vectorizer.input_to_outputs_.items():
        if (kind := kinds[column]) != "numeric" and inputs:
            many = ", ".join(inputs) if len(inputs) <= 6 else f"{inputs[0]} ... {inputs[-1]}, {len(inputs)} in all"
            notes.append(f"Column {column} becomes {many}: {says.get(kind, 'as the pipeline encodes it')}.")
    return tuple(notes)
