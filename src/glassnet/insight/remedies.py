"""Remedies: changes of a run, as a case to try, as arguments of `set_params` or `train`, and as lines of Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.insight.patient import Case
from glassnet.layers import Dense, Dropout, Layer
from glassnet.network import Network
from glassnet.rules import Rule

__all__ = ["Change", "apply", "arguments", "python"]


@dataclass(frozen=True, eq=False)
class Change:
    """One change of a run: what, and to which value (None where it needs none).

    Values may be arrays, so changes are compared by identity; `is_like` tells whether one would repeat another.
    """

    what: str
    value: Any = None

    def is_like(self, other: Change) -> bool:
        """Whether the same is changed, to the same value where it is a plain one."""
        plain = self.value is None or isinstance(self.value, str | int | float)
        return self.what == other.what and (not plain or self.value == other.value)


def apply(case: Case, changes: Sequence[Change]) -> Case:
    """Return the case with all changes made, from a fresh start where the network or the data change."""
    for change in changes:
        case = MAKE[change.what](case, change.value)
    return case


def with_rate(rule: Rule, rate: float) -> Rule:
    """Return the rule with a constant rate; a rule around another passes it on."""
    inner = getattr(rule, "rule", None)
    if inner is not None:
        return replace(rule, rule=with_rate(inner, rate))  # type: ignore[type-var]
    return replace(rule, learning_rate=rate)  # type: ignore[type-var]


def _rate(case: Case, rate: float) -> Case:
    return case if case.rule is None else replace(case, rule=with_rate(case.rule, rate))


def _hidden(case: Case, units: int) -> Case:
    """Widen the hidden layers; a network without one gets one."""
    layers: list[Layer] = [
        replace(layer, units=max(units, layer.units)) if isinstance(layer, Dense) else layer
        for layer in case.net.layers[:-1]
    ]
    layers = layers or [Dense(units, "relu")]
    return case.with_network(Network(case.net.n_inputs, [*layers, case.net.layers[-1]]))


def _output(case: Case, pair: tuple[str, str]) -> Case:
    activation, loss = pair
    last = case.net.layers[-1]
    made = replace(last, activation=activation) if isinstance(last, Dense) else last
    return case.with_network(Network(case.net.n_inputs, [*case.net.layers[:-1], made]), loss=loss)


def _dropout(case: Case, rate: float) -> Case:
    layers = [Dropout(rate) if isinstance(layer, Dropout) else layer for layer in case.net.layers]
    return case.with_network(Network(case.net.n_inputs, layers))


def _scaled(case: Case, how: tuple[Array | float, Array | float]) -> Case:
    shift, scale = how
    held_out = case.held_out and ((case.held_out[0] - shift) / scale, case.held_out[1])
    X = ((case.X - shift) / scale).astype(case.X.dtype)
    return replace(case, X=X, held_out=held_out, shift=case.shift + shift * case.scale, scale=case.scale * scale)


def _scaled_targets(case: Case, how: tuple[Array, Array]) -> Case:
    mean, std = how
    held_out = case.held_out and (case.held_out[0], (case.held_out[1] - mean) / std)
    return replace(case, Y=((case.Y - mean) / std).astype(case.Y.dtype), held_out=held_out)


def _without(case: Case, columns: Array) -> Case:
    """Take all information out of columns, so that the network need not change: they become 0."""
    kept = np.ones(case.X.shape[1], case.X.dtype)
    kept[columns] = 0
    held_out = case.held_out and (case.held_out[0] * kept, case.held_out[1])
    return replace(case, X=case.X * kept, held_out=held_out)


def _balanced(case: Case, value: object) -> Case:
    if case.Y.shape[1] == 1:
        share = np.array([1.0 - case.Y.mean(), case.Y.mean()])
        own = share[(case.Y[:, 0] > 0.5).astype(int)]
    else:
        own = case.Y.mean(axis=0)[case.Y.argmax(axis=1)]
    weights = 1.0 / own
    return replace(case, weights=(weights / weights.mean()).astype(case.X.dtype))


def _unpenalised(case: Case, factor: float) -> Case:
    objective = case.objective
    return replace(case, objective=replace(objective, l1=objective.l1 * factor, l2=objective.l2 * factor))


MAKE: Mapping[str, Callable[[Case, Any], Case]] = {
    "rate": _rate,
    "batch_size": lambda case, value: replace(case, batch_size=min(value, len(case.X))),
    "epochs": lambda case, value: replace(case, epochs=value),
    "penalty": _unpenalised,
    "weight_init": lambda case, value: case.with_dense(weight_init=value, bias_init="zeros"),
    "activation": lambda case, value: case.with_dense(activation=value, weight_init="auto"),
    "hidden": _hidden,
    "output": _output,
    "dropout": _dropout,
    "scale": _scaled,
    "scale_targets": _scaled_targets,
    "drop_columns": _without,
    "class_weight": _balanced,
    "early_stopping": lambda case, value: replace(case, stops_early=True),
    "data": lambda case, value: case,
}
"""What -> how a case is changed by it. "data" is advice that no copy can follow: other labels, other rows."""


# ---- how it is written --------------------------------------------------------------------------------------------


def arguments(case: Case, changes: Sequence[Change]) -> dict[str, object]:
    """Return what is to be set: arguments of the estimator (`set_params`) or of `train`."""
    found: dict[str, object] = {}
    for change in changes:
        spell = (ESTIMATOR if case.dialect.model else TRAIN).get(change.what)
        found |= {} if spell is None else spell(case, change.value)
    return {f"{case.dialect.prefix}{name}": value for name, value in found.items()}


def _own_rate(case: Case, rate: float) -> dict[str, object]:
    if case.dialect.rule_by_name:
        return {"learning_rate_init": rate}
    return {"solver": with_rate(case.rule, rate)} if case.rule is not None else {}


def _own_penalty(case: Case, factor: float) -> dict[str, object]:
    total = float(len(case.X) if case.weights is None else case.weights.sum())
    strengths = {"alpha": case.objective.l2, "l1": case.objective.l1}
    return {name: float(f"{old * factor * total:.3g}") for name, old in strengths.items() if old}


def _own_hidden(case: Case, units: int) -> dict[str, object]:
    sizes = [max(units, layer.units) for layer in case.net.layers[:-1] if isinstance(layer, Dense)]
    return {"hidden_layer_sizes": tuple(sizes) or (units,)}


ESTIMATOR: Mapping[str, Callable[[Case, Any], dict[str, object]]] = {
    "rate": _own_rate,
    "batch_size": lambda case, value: {"batch_size": min(value, len(case.X))},
    "epochs": lambda case, value: {"max_iter": value},
    "penalty": _own_penalty,
    "weight_init": lambda case, value: {"weight_init": value},
    "activation": lambda case, value: {"activation": value},
    "hidden": _own_hidden,
    "output": lambda case, pair: {"output_activation": None, "loss": None if "entropy" in pair[1] else pair[1]},
    "dropout": lambda case, value: {"dropout": value},
    "class_weight": lambda case, value: {"class_weight": "balanced"},
    "early_stopping": lambda case, value: {"early_stopping": True},
}

TRAIN: Mapping[str, Callable[[Case, Any], dict[str, object]]] = {
    "rate": lambda case, value: {} if case.rule is None else {"optimizer": with_rate(case.rule, value)},
    "batch_size": lambda case, value: {"batch_size": min(value, len(case.X))},
    "epochs": lambda case, value: {"epochs": value},
}


def python(case: Case, changes: Sequence[Change]) -> str:
    """Return lines of Python that make the changes: data first, then one call for all arguments."""
    lines = [line for change in changes for line in _data_lines(case, change)]
    given = arguments(case, changes)
    options = ", ".join(f"{name}={_spelt(value)}" for name, value in given.items())
    if case.dialect.model:
        return "\n".join([*lines, *([f"model.set_params({options})"] if options else [])])
    if {change.what for change in changes} & REBUILDS:
        lines += _objective_lines(apply(case, changes))
    if any(change.what == "early_stopping" for change in changes):
        options = ", ".join(filter(None, [options, "validation=(X_val, Y_val), callbacks=[gn.EarlyStopping()]"]))
    return "\n".join([*lines, *([f"run = gn.train(objective, theta, X, Y, {options})"] if options else [])])


REBUILDS = {"weight_init", "activation", "hidden", "output", "dropout", "penalty"}
"""Changes that make another objective: for `train` it is written out whole."""


def _objective_lines(case: Case) -> list[str]:
    layers = ", ".join(_spelt(layer) for layer in case.net.layers)
    objective = case.objective
    penalties = "".join(f", {name}={getattr(objective, name):.3g}" for name in ("l1", "l2") if getattr(objective, name))
    return [
        f"net = gn.Network({case.net.n_inputs}, [{layers}])",
        f"objective = gn.Objective(net, {objective.loss_record.name!r}{penalties})",
        "theta = net.init(rng=0)",
    ]


def _spelt(value: object) -> str:
    """Return a value as Python: a rule as gn.SGD(0.1, momentum=0.9), a layer as gn.Dense(50, 'relu')."""
    if is_dataclass(value) and not isinstance(value, type) and not hasattr(value, "draw"):
        needed = [one for one in fields(value) if one.default is MISSING or getattr(value, one.name) != one.default]
        parts = [("" if not one.kw_only else f"{one.name}=") + _spelt(getattr(value, one.name)) for one in needed]
        return f"gn.{type(value).__name__}({', '.join(parts)})"
    return f"{value:.3g}" if isinstance(value, float) else repr(getattr(value, "name", value))


def _without_columns(case: Case, which: Sequence[int]) -> str:
    """Return the line that leaves columns out: by name, by number, or as advice where a pipeline has made them."""
    if not case.table and not case.dialect.prefix:
        return f"X = np.delete(X, {list(which)}, axis=1)"
    named = [case.names[j] for j in which] if case.names else []
    if named and set(named) <= set(case.table):
        return f"X = X.drop(columns={named})"
    made = ", ".join(named or map(str, which))
    return f"# the steps before the network made {made}: leave out what they were made from"


def _data_lines(case: Case, change: Change) -> list[str]:
    estimator = bool(case.dialect.model)
    if change.what == "data":
        return [str(change.value)]
    if change.what == "scale":
        _, scale = change.value
        if np.ndim(scale) == 0:
            return [f"X = X / {float(scale):g}"]
        if estimator:
            return ["model = make_pipeline(StandardScaler(), model)"]
        return ["X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-12)"]
    if change.what == "scale_targets":
        if estimator:
            return ["model = TransformedTargetRegressor(model, transformer=StandardScaler())"]
        return ["Y = (Y - Y.mean(axis=0)) / Y.std(axis=0)"]
    if change.what == "drop_columns":
        return [_without_columns(case, [int(j) for j in change.value])]
    if change.what == "class_weight" and not estimator:
        return ["sample_weight = 1 / Y.mean(axis=0)[Y.argmax(axis=1)]"]
    return []
