"""From a trained model to its plan: networks with theta, what `gn.load` gives, estimators, pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.errors import choose, fault, type_fault
from glassnet.export.plan import Kind, Plan, Step, network_steps
from glassnet.history import Run
from glassnet.network import Network
from glassnet.persistence import Saved

__all__ = ["plan_of"]

DTYPES = {"float32": np.float32, "float64": np.float64}


def plan_of(model: Any, dtype: str | None = None) -> Plan:
    """Return the plan of a model; `dtype` None is that of its weights.

    Raises GlassnetError for models that cannot be exported, with what can be done instead.
    """
    if isinstance(model, Saved):
        model = (model.net, model.theta, model.state)
    if isinstance(model, tuple):
        return _of_network(*_parts(model), dtype)
    raise type_fault("model", EXPECTED, type(model).__name__)


EXPECTED = (
    "(net, theta), (net, run), (net, theta, state), what gn.load gives, a fitted estimator of glassnet, "
    "or a pipeline that ends in one"
)


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
    if net.state_layout.size and state is None:
        raise fault("model", "(net, theta, state) for a network with BatchNorm", "(net, theta)", "Pass (net, run).")
    state = np.empty(0) if state is None else np.asarray(state)
    number = _dtype(dtype, theta)
    steps = network_steps(net, theta, state, number)
    return _plan(steps, tuple(f"x{i}" for i in range(net.n_inputs)), number, "network")


def _dtype(dtype: str | None, theta: Any) -> np.dtype[Any]:
    return np.dtype(theta.dtype if dtype is None else choose("dtype", dtype, DTYPES))


def _plan(
    steps: tuple[Step, ...], inputs: tuple[str, ...], dtype: npt.DTypeLike, kind: Kind, classes: tuple[Any, ...] = ()
) -> Plan:
    """Return the plan with names for its outputs: the classes, or y0, y1, ..."""
    bare = Plan(steps, inputs, (), np.dtype(dtype), kind, classes)
    names = tuple(map(str, classes)) or tuple(f"y{j}" for j in range(bare.sizes[-1]))
    return Plan(steps, inputs, names, np.dtype(dtype), kind, classes)
