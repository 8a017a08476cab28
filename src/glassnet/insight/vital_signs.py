"""Vital signs of a network, layer by layer, and what they say before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array
from glassnet.insight.data_signs import finding
from glassnet.insight.findings import Finding
from glassnet.insight.patient import Case, know_nothing_loss
from glassnet.insight.remedies import Change
from glassnet.insight.summary import ON_FLAT_ENDS
from glassnet.layers import Dense, Dropout, Mode

__all__ = ["STUCK", "Signs", "layer_signs", "look", "start_findings"]

ROWS = 256
"""So many rows, evenly spaced, are sent through the network."""
FADED, SWOLLEN = 0.01, 10.0
"""Below the first share of the inputs' spread, a signal has vanished; pre-activations above the second explode."""
FADED_GRADIENT = 1e-3
"""Where the first layer's gradient is below this share of the last one's, learning does not reach it."""
HALF = 0.5
SURE = 3.0
"""Outputs so many times as large as suits the targets are too sure of themselves."""
STUCK = ("symmetric_weights", "dead_units", "saturated", "vanishing")
"""Findings on the start that explain why a run cannot learn, whatever its penalty and its size."""
SIGMOIDS = ("sigmoid", "tanh")


@dataclass(frozen=True)
class Signs:
    """What flows through one Dense layer.

    z_rms      root mean square of the pre-activations
    spread     root mean square over the units of their standard deviation from row to row: what tells rows apart
    dead       share of ReLU units that are 0 on every row; 0 for other functions
    saturated  share of activations on the flat ends of a sigmoid or tanh; 0 for other functions
    gradient   root mean square of dJ/dW
    alike      whether all units of the layer have the same weights
    """

    number: int
    activation: str
    units: int
    z_rms: float
    spread: float
    dead: float
    saturated: float
    gradient: float
    alike: bool


@dataclass(frozen=True)
class Look:
    """One look at a network: the signs of its Dense layers, the spread of the inputs, the gradients' lengths."""

    layers: tuple[Signs, ...]
    input_spread: float
    data_gradient: float
    """|gradient of the data term| over the weights."""
    penalty_gradient: float
    """|gradient of the penalty|."""


def look(case: Case, theta: Array, state: Array | None) -> Look:
    """Return the signs of theta on some rows of the case, as in training (BatchNorm uses those rows)."""
    rows = np.linspace(0, len(case.X) - 1, min(len(case.X), ROWS)).astype(int)
    weights = None if case.weights is None else case.weights[rows]
    objective = case.objective
    mode = Mode.of(True, 0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        _, grad, trace = objective.evaluate(theta, case.X[rows], case.Y[rows], weights, state, mode)
        own = theta * case.net.weights
        penalty = objective.l2 * own + objective.l1 * np.sign(own)
        data = grad * case.net.weights - penalty
        signs = layer_signs(case, theta, trace.z, trace.a, data)
        return Look(signs, _spread(trace.a[0]), float(np.linalg.norm(data)), float(np.linalg.norm(penalty)))


def layer_signs(case: Case, theta: Array, z: tuple[Array, ...], a: tuple[Array, ...], grad: Array) -> tuple[Signs, ...]:
    """Return the signs of each Dense layer, from what a forward pass gave and the gradient of the data term."""
    found = []
    parameters, gradients = case.net.split(theta), case.net.split(grad)
    for l, layer in enumerate(case.net.layers, 1):
        if not isinstance(layer, Dense):
            continue
        name = layer.function.name
        W = parameters[l - 1]["W"]
        flat = ON_FLAT_ENDS.get(name)
        found.append(
            Signs(
                number=l,
                activation=name,
                units=layer.units,
                z_rms=_rms(z[l]),
                spread=_spread(a[l]),
                dead=float((a[l] == 0).all(axis=0).mean()) if name == "relu" else 0.0,
                saturated=0.0 if flat is None else float(flat(a[l]).mean()),
                gradient=_rms(gradients[l - 1]["W"]),
                alike=layer.units > 1 and bool((W[:, :1] == W).all()),
            )
        )
    return tuple(found)


def _spread(a: Array) -> float:
    return _rms(a.std(axis=0))


def _rms(a: Array) -> float:
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


# ---- what they say before the first step --------------------------------------------------------------------------


def start_findings(case: Case, start: Look, loss: float, blind: float) -> Iterator[Finding]:
    """Return the findings on the start: causes before their consequences, one of a kind."""
    alike = [s for s in start.layers if s.alike and (s is not start.layers[-1] or len(start.layers) > 1)]
    hidden = start.layers[:-1]
    if any(s.alike for s in hidden):
        yield _symmetric(case, [s for s in alike if s in hidden], start)
        return
    for one in (_dead(case, hidden), _saturated(case, start.layers), _exploding(case, start), _vanishing(case, start)):
        if one is not None:
            yield one
            break
    else:
        yield from _first_loss(case, start, loss, blind)
    yield from _dropout(case)


def _init(case: Case) -> str:
    """Return the start that suits the hidden activation."""
    hidden = [layer for layer in case.net.layers[:-1] if isinstance(layer, Dense)]
    return str(hidden[0].function.init) if hidden else "glorot_uniform"


def _where(signs: list[Signs] | tuple[Signs, ...]) -> str:
    return f"layer{'s' * (len(signs) > 1)} {', '.join(str(s.number) for s in signs)}"


def _symmetric(case: Case, alike: list[Signs], start: Look) -> Finding:
    return finding(
        case, "symmetric_weights", _where(alike), "error",
        {"layers whose units are all equal": len(alike), "units that differ in the first of them": 1},
        "All units of a layer start with the same weights, so they get the same gradient and stay equal for ever. "
        "The layer works as a single unit, or as none where the weights are 0: draw them at random.",
        Change("weight_init", _init(case)),
    )  # fmt: skip


def _dead(case: Case, hidden: tuple[Signs, ...]) -> Finding | None:
    worst = max(hidden, key=lambda s: s.dead, default=None)
    if worst is None or worst.dead < HALF:
        return None
    return finding(
        case, "dead_units", _where([s for s in hidden if s.dead >= HALF]), "error" if worst.dead > 0.95 else "warning",
        {f"dead share of layer {s.number}": s.dead for s in hidden},
        "These ReLU units are 0 on every row before training starts: no gradient passes, and they stay dead. "
        "Biases or weights pull them below zero; start biases at 0 and weights by He's rule.",
        Change("weight_init", "he_normal"),
    )  # fmt: skip


def _saturated(case: Case, layers: tuple[Signs, ...]) -> Finding | None:
    ill = [s for s in layers[:-1] if s.saturated > HALF]
    if not ill:
        return None
    return finding(
        case, "saturated", _where(ill), "warning",
        {**{f"saturated share of layer {s.number}": s.saturated for s in ill},
         **{f"rms of z in layer {s.number}": s.z_rms for s in ill}},
        f"Most {ill[0].activation} units start on a flat end, where the derivative is nearly 0 and little is learned. "
        "The weights (or inputs) are too large: the pre-activations z should have a size of about 1.",
        Change("weight_init", "glorot_uniform"),
    )  # fmt: skip


def _exploding(case: Case, start: Look) -> Finding | None:
    scale = max(start.input_spread, 1.0)
    ill = [s for s in start.layers if s.z_rms > SWOLLEN * scale]
    if not ill or (ill[0] is start.layers[-1] and len(start.layers) > 1):  # outputs alone: see the first loss
        return None
    return finding(
        case, "exploding", _where(ill), "warning",
        {"spread of the inputs": start.input_spread, **{f"rms of z in layer {s.number}": s.z_rms for s in start.layers},
         **{f"rms of dJ/dW in layer {s.number}": s.gradient for s in start.layers}},
        "The signal grows from layer to layer before any training, and the gradients grow with it. "
        "The weights are too large for the number of inputs of a unit: their variance should be about 1 or 2 over it.",
        Change("weight_init", _init(case)),
    )  # fmt: skip


def _vanishing(case: Case, start: Look) -> Finding | None:
    hidden = start.layers[:-1]
    if not hidden or start.input_spread == 0:  # one row, or all alike: nothing to fade
        return None
    share = hidden[-1].spread / max(min(start.input_spread, 1.0), 1e-300)
    ratio = hidden[0].gradient / max(start.layers[-1].gradient, 1e-300)
    if share >= FADED and (ratio >= FADED_GRADIENT or len(hidden) < 2):
        return None
    deep = len(hidden) > 2 and all(s.activation == "sigmoid" for s in hidden)
    change = Change("activation", "relu") if deep else Change("weight_init", _init(case))
    cure = (
        "Each sigmoid passes on at most a quarter of it: take ReLU in deep networks."
        if deep
        else "The weights are too small: their variance should be about 1 or 2 over a unit's number of inputs."
    )
    return finding(
        case, "vanishing", _where(hidden), "warning",
        {"spread of the inputs": start.input_spread,
         **{f"spread of layer {s.number}": s.spread for s in hidden},
         **{f"rms of dJ/dW in layer {s.number}": s.gradient for s in start.layers}},
        "What tells rows apart fades from layer to layer before any training, and the gradients fade on the way back. "
        + cure,
        change,
    )  # fmt: skip


def _first_loss(case: Case, start: Look, loss: float, blind: float) -> Iterator[Finding]:
    nothing = max(blind, know_nothing_loss(case))
    times = SURE if case.is_classes else SURE**2  # entropy grows with the outputs, a square with their square
    if not loss > times * nothing + 0.1 or start.input_spread > SWOLLEN:
        return
    k = case.net.n_outputs
    evidence = {"loss before training": loss, "loss of the best constant prediction": blind}
    if case.is_classes and k > 1:
        evidence["ln k"] = float(np.log(k))
    evidence["rms of z in the output layer"] = start.layers[-1].z_rms
    yield finding(
        case, "initial_loss", "output layer", "warning", evidence,
        "Before any training the network is sure of wrong answers: its loss is far above that of knowing nothing. "
        "The outputs start too large; the first epochs go into unlearning them, so start the last layer small.",
        Change("weight_init", _init(case)),
    )  # fmt: skip


def _dropout(case: Case) -> Iterator[Finding]:
    rates = [layer.rate for layer in case.net.layers if isinstance(layer, Dropout)]
    if rates and max(rates) >= 0.8:
        yield finding(
            case, "dropout_too_high", "hidden layers", "warning", {"highest rate": max(rates)},
            "So few units are left in each step that hardly any signal passes. "
            "Rates of 0.2 to 0.5 are usual.",
            Change("dropout", 0.3),
        )  # fmt: skip
