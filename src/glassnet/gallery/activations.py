"""The activation functions side by side: value, derivative, and why the derivative matters.

A gradient that travels back through a layer is multiplied by f'(z). The sigmoid's slope is never above 1/4, so ten
such layers leave at most a millionth of it; ReLU (Glorot, Bordes and Bengio 2011) has slope 1 where it is awake and 0
where it is not, and the later functions smooth its corner. Each derivative is checked against central differences,
f'(z) ~ (f(z + h) - f(z - h)) / 2h, and each function is tried from -1e4 to 1e4, where a careless exp overflows.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

import glassnet as gn
from glassnet.activations import Activation
from glassnet.gallery.experiment import Experiment, at_most, close, equal
from glassnet.insight import pictures, plots
from glassnet.insight.pictures import Figure

TITLE = "Twelve activations and their derivatives"
QUESTION = "What does each activation do to a signal, and what to the gradient on its way back?"

Floats = npt.NDArray[np.floating]
NAMES = (
    "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "selu", "mish", "identity", "softmax",
)  # fmt: skip
Z = np.linspace(-6.0, 6.0, 600)  # an even number of points: none of them is the kink at 0
STEP = 1e-5


def error_of_derivative(activation: Activation, rng: np.random.Generator) -> float:
    """Return the largest |f'(z) - central difference|, over Z or (softmax) over the Jacobians of 200 drawn rows."""
    if activation.elementwise:
        measured = (activation.f(Z + STEP) - activation.f(Z - STEP)) / (2 * STEP)
        return float(np.abs(activation.df(Z, activation.f(Z)) - measured).max())
    rows = rng.normal(0.0, 3.0, (200, 3))
    columns = [(activation.f(rows + STEP * e) - activation.f(rows - STEP * e)) / (2 * STEP) for e in np.eye(3)]
    return float(np.abs(activation.df(rows, activation.f(rows)) - np.stack(columns, axis=-1)).max())


def survives(activation: Activation, dtype: npt.DTypeLike) -> bool:
    """Whether value and derivative stay finite, keep the dtype and raise no alarm from -1e4 to 1e4."""
    half = np.concatenate([[0.0], np.logspace(-4, 4, 400)])
    z: Floats = np.concatenate([-half, half]).astype(dtype)
    if not activation.elementwise:
        z = np.stack([z, np.zeros_like(z), -z], axis=-1)
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            a = activation.f(z)
            slope = activation.df(z, a)
    except FloatingPointError:
        return False
    return bool(np.isfinite(a).all() and np.isfinite(slope).all() and a.dtype == slope.dtype == z.dtype)


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Check and draw all twelve; quick and full are the same, `seed` draws the rows that softmax is checked on."""
    rng = np.random.default_rng(seed)
    table = {name: gn.activations.get(name) for name in NAMES}
    errors = {name: error_of_derivative(activation, rng) for name, activation in table.items()}
    failed = [(name, dtype) for name in NAMES for dtype in ("float32", "float64") if not survives(table[name], dtype)]
    curves = {name: value_and_slope(activation) for name, activation in table.items()}
    mirrored = 2 * table["sigmoid"].f(2 * Z) - 1

    rows = [at_most(f"{name}: |f'(z) - central difference|", error, 1e-8) for name, error in errors.items()]
    rows += [
        close("tanh z against 2 sigma(2z) - 1: largest difference", np.abs(np.tanh(Z) - mirrored).max(), 0.0, 1e-15),
        equal("overflow or warning from -1e4 to 1e4, both dtypes", failed or "none", "none"),
        close("sigmoid: steepest slope", curves["sigmoid"][1].max(), 0.25, 1e-4),
        close("tanh: steepest slope", curves["tanh"][1].max(), 1.0, 1e-3),
        close("silu: lowest value", curves["silu"][0].min(), -0.27846, 1e-4),
        close("mish: lowest value", curves["mish"][0].min(), -0.30884, 1e-4),
    ]
    notes = (
        "Blue is the value, amber the derivative: what a gradient is multiplied by on its way back. The sigmoid's is "
        f"at most {curves['sigmoid'][1].max():.2f} and nearly 0 beyond |z| = 5; tanh is the same curve, stretched to "
        "slope 1 and centred at 0.",
        "ReLU's derivative is a step: all of the gradient or nothing. Leaky ReLU, ELU and SELU leave something on the "
        "left, softplus, SiLU, GELU and Mish round the corner; the last three dip below 0 and come back.",
        f"Softmax sees a whole row: drawn is its first output for the row (z, 0, 0). Formulas and differences (width "
        f"{STEP:g}, away from the kink at 0) agree to {max(errors.values()):.0e}.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), draw(table, curves), notes)


def value_and_slope(activation: Activation) -> tuple[Floats, Floats]:
    """Return f(Z) and f'(Z); for softmax the first output of the rows (z, 0, 0) and its derivative by z."""
    if activation.elementwise:
        return activation.f(Z), activation.df(Z, activation.f(Z))
    rows = np.stack([Z, np.zeros_like(Z), np.zeros_like(Z)], axis=-1)
    a = activation.f(rows)
    return a[:, 0], activation.df(rows, a)[:, 0, 0]


def draw(table: dict[str, Activation], curves: dict[str, tuple[Floats, Floats]]) -> Figure:
    """Draw value and derivative of each, under its equation."""
    figure, axes = pictures.grid_of_axes(3, 4, size=(2.7, 2.45))
    with plots.house_style():
        for ax, (name, (value, slope)) in zip(axes, curves.items(), strict=True):
            ax.plot(Z, value, color=plots.BLUE, linewidth=2.8, label="value $f(z)$")
            for half, label in ((Z < 0, ""), (Z > 0, "derivative $f'(z)$")):  # two pieces: some jump at 0
                ax.plot(Z[half], slope[half], color=plots.AMBER, label=label)
            ax.set_title(name, pad=17, fontweight="bold")
            equation = re.split(r", \w+ =", table[name].equation)[0]  # without the definitions of its letters
            ax.text(0, 1.03, equation, transform=ax.transAxes, fontsize=7.5, color=plots.MUTED)
            ax.set(ylim=(-2.1, 2.1), xlim=(-6, 6), xticks=(-5, 0, 5), yticks=(-2, -1, 0, 1, 2), xlabel="$z$")
            ax.axhline(0, color=plots.FAINT, linewidth=1, zorder=0)
        axes[0].legend(loc="upper left", fontsize=8, borderaxespad=0.1)
    return figure
