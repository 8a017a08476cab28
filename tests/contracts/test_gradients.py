"""Every layer x activation x loss that may be combined: the gradient equals one that is measured, in float64.

Central differences (step 1e-5, four points) to 1e-6 for all; complex steps to 1e-11 where every function in the chain
is analytic. All shifted thetas are evaluated as one stack, so that a check is a handful of forward passes.

The tolerance is never loosened. Functions with a kink are checked at points whose pre-activations and residuals are
further from it than the step can carry them; norms where the variance that they divide by is not almost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine_runs import allowed
from glassnet import BatchNorm, Dense, Dropout, LayerNorm, Network, Objective
from glassnet import activations as acts
from glassnet.activations import ACTIVATIONS, Activation
from glassnet.arrays import Array
from glassnet.losses import LOSSES

CENTRAL, COMPLEX = 1e-6, 1e-11
MARGIN = 2e-3  # how far from a kink a point must lie; two steps of 1e-5 move no z this far
HIDDEN = {"none": [], "Dropout": [Dropout(0.3)], "BatchNorm": [BatchNorm()], "LayerNorm": [LayerNorm()]}
OPTIONS = [
    {"name": "huber", "delta": 0.4},
    {"name": "quantile", "q": 0.8},
    {"name": "cross_entropy", "label_smoothing": 0.2},
    {"name": "binary_cross_entropy", "label_smoothing": 0.2},
    {"name": "focal", "gamma": 0.5},
]


@dataclass(frozen=True)
class Case:
    """An objective at a point: all that a gradient depends on."""

    objective: Objective
    theta: Array
    X: Array
    Y: Array
    weights: Array | None
    training: bool = True

    @property
    def analytic(self) -> bool:
        net = self.objective.net
        return all(layer.function.analytic for layer in net.layers) and self.objective.loss_record.analytic

    def value(self, theta: Array) -> Array:
        return self.objective.value(theta, self.X, self.Y, self.weights, training=self.training, rng=7)

    def gradient(self) -> Array:
        return self.objective.value_and_grad(self.theta, self.X, self.Y, self.weights, training=self.training, rng=7)[1]

    def is_smooth(self) -> bool:
        """Whether the point is away from kinks, and from variances so small that a norm bends within a step."""
        net, loss = self.objective.net, self.objective.loss_record
        trace = net.forward(self.theta, self.X, training=self.training, rng=7)
        distances = [np.inf]
        for l, layer in enumerate(net.layers, 1):
            if not layer.function.analytic:
                distances.append(np.abs(trace.z[l]).min())
            if isinstance(layer, BatchNorm | LayerNorm):
                axis = -2 if isinstance(layer, BatchNorm) else -1
                if trace.a[l - 1].shape[axis] > 1 and trace.a[l - 1].std(axis=axis).min() < 0.05:
                    return False
        if not loss.analytic:
            r = np.abs(trace.output - self.Y)
            distances += [r.min(), np.abs(r - dict(loss.options).get("delta", 1.0)).min()]
        return min(distances) > MARGIN and np.abs(trace.output).max() < 50


def central(case: Case, h: float = 1e-5) -> Array:
    """Four points, error O(h^4): (8 (J(h) - J(-h)) - (J(2h) - J(-2h))) / 12h."""
    steps = h * np.eye(case.theta.size)
    up, down, far_up, far_down = (case.value(case.theta + k * steps) for k in (1, -1, 2, -2))
    return (8 * (up - down) - (far_up - far_down)) / (12 * h)


def complex_step(case: Case, h: float = 1e-30) -> Array:
    return case.value(case.theta + 1j * h * np.eye(case.theta.size)).imag / h


def worst(case: Case, measured: Array) -> float:
    """The worst error of an entry, relative to the largest of its block, or to a floor where a block is almost zero.

    The floor is 1e-3 of the whole gradient, or 1e-4 of J: of a gradient that small, J(theta + h) - J(theta - h) knows
    no six digits.
    """
    views = case.objective.net.views
    ours, theirs = views(case.gradient()), views(measured)
    floor = max(1e-3 * np.abs(measured).max(), 1e-4 * max(abs(float(case.value(case.theta))), 1.0))
    return max(
        float(np.abs(ours[name] - there).max() / max(np.abs(there).max(), floor)) for name, there in theirs.items()
    )


def check(case: Case) -> None:
    assert worst(case, central(case)) < CENTRAL
    if case.analytic:
        assert worst(case, complex_step(case)) < COMPLEX


def targets(objective: Objective, rng: np.random.Generator, m: int) -> Array:
    shape = (m, objective.net.n_outputs)
    return {
        "real": lambda: rng.normal(size=shape),
        "nonnegative": lambda: rng.poisson(1.5, shape).astype(float),
        "positive": lambda: rng.gamma(2.0, 1.0, shape) + 0.1,
        "unit": lambda: rng.random(shape),
        "simplex": lambda: rng.dirichlet(np.ones(shape[1]), m),
    }[objective.loss_record.targets]()


def draw(objective: Objective, m: int, seed: int, weighted: bool = False, training: bool = True) -> Case:
    rng = np.random.default_rng(seed)
    theta = objective.net.init(rng) + 0.2 * rng.normal(size=objective.net.n_parameters)
    X, Y = rng.normal(size=(m, objective.net.n_inputs)), targets(objective, rng, m)
    return Case(objective, theta, X, Y, rng.random(m) + 0.1 if weighted else None, training)


def smooth(objective: Objective, m: int = 5, **options: bool) -> Case:
    cases = (draw(objective, m, seed, **options) for seed in range(500))
    return next(case for case in cases if case.is_smooth())


ENDS = [(out, loss) for out in ACTIVATIONS for loss in [*LOSSES, *OPTIONS] if allowed(acts.get(out), loss)]


@pytest.mark.parametrize("hidden", ACTIVATIONS)
@pytest.mark.parametrize("kind", HIDDEN)
def test_every_layer_activation_and_loss(kind: str, hidden: str) -> None:
    for output, loss in ENDS:
        net = Network(2, [Dense(3, hidden), *HIDDEN[kind], Dense(2, output)])
        check(smooth(Objective(net, loss, l2=0.01)))


def test_the_table_is_full() -> None:
    assert len(ENDS) > 60
    assert {output for output, _ in ENDS} == set(ACTIVATIONS)
    assert {loss for _, loss in ENDS if isinstance(loss, str)} == set(LOSSES)
    assert {output for output, loss in ENDS if loss == "cross_entropy"} == {"softmax"}


UNMATCHED = [*LOSSES, *OPTIONS]


@pytest.mark.parametrize("loss", UNMATCHED, ids=str)
def test_every_loss_that_takes_softmax_outputs_through_its_slope(loss: str | dict[str, object]) -> None:
    """A softmax of your own is matched to nothing: the slope by the outputs goes through its Jacobian."""
    own = replace(acts.get("softmax"), name="shares")
    objective = Objective(Network(2, [Dense(3, "tanh"), Dense(3, own)]), loss, l2=0.01)
    assert objective.matched is None
    assert objective.takes_complex
    check(smooth(objective))


# ---- drawn ----------------------------------------------------------------------------------------------------------

ANALYTIC = [name for name in ACTIVATIONS if acts.get(name).analytic and name != "exp"]  # exp of exp of exp: too steep
KINKED = [name for name in ACTIVATIONS if not acts.get(name).analytic]


@st.composite
def cases(draw_: st.DrawFn, names: list[str]) -> Case:
    output, loss = draw_(st.sampled_from([(o, i) for o, i in ENDS if o in names or o == "exp"]))
    layers: list[object] = []
    for _ in range(draw_(st.integers(0, 4))):
        layers += [Dense(draw_(st.integers(1, 12)), draw_(st.sampled_from(names)), bias=draw_(st.booleans()))]
        layers += HIDDEN[draw_(st.sampled_from(list(HIDDEN)))]
    net = Network(draw_(st.integers(1, 12)), [*layers, Dense(draw_(st.integers(1, 12)), output)])
    assume(net.output_activation != "softmax" or net.n_outputs > 1)  # one unit of softmax is always 1: refused
    objective = Objective(net, loss, l2=draw_(st.sampled_from([0.0, 0.1])))
    seed, m = draw_(st.integers(0, 2**32 - 1)), draw_(st.integers(1, 9))
    return draw(objective, m, seed, draw_(st.booleans()), draw_(st.booleans()))


@settings(max_examples=150)
@given(case=cases(ANALYTIC))
def test_drawn_networks_of_analytic_functions(case: Case) -> None:
    assume(case.is_smooth())
    check(case)


@settings(max_examples=150)
@given(case=cases(ANALYTIC + KINKED))
def test_drawn_networks_of_all_functions(case: Case) -> None:
    assume(case.is_smooth())
    check(case)


@settings(max_examples=60)
@given(case=cases(ANALYTIC + KINKED), S=st.integers(1, 3), own_rows=st.booleans())
def test_each_network_of_a_stack_has_its_own_gradient(case: Case, S: int, own_rows: bool) -> None:
    shifts = 0.05 * np.random.default_rng(S).normal(size=(S, case.theta.size))
    X = np.stack([case.X + s for s in range(S)]) if own_rows else case.X
    Y = np.stack([case.Y] * S) if own_rows else case.Y
    together = Case(case.objective, case.theta + shifts, X, Y, case.weights, case.training)
    for s, gradient in enumerate(together.gradient()):
        alone = Case(case.objective, together.theta[s], X[s] if own_rows else X, case.Y, case.weights, case.training)
        assume(alone.is_smooth())
        assert worst(alone, gradient) < COMPLEX
        check(alone)


# ---- planted faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1 + 1e-5, 0.9, -1.0])
def test_a_wrong_derivative_fails_both_checks(factor: float) -> None:
    wrong = Activation("wrong", np.tanh, lambda z, a: factor * (1.0 - a * a), analytic=True)
    case = smooth(Objective(Network(2, [Dense(3, wrong), Dense(2)]), "squared_error"))
    assert worst(case, central(case)) > CENTRAL
    assert worst(case, complex_step(case)) > COMPLEX


def test_a_kink_within_the_step_would_fail() -> None:
    """Why points are chosen: at a kink the central difference is neither of the two slopes."""
    objective = Objective(Network(1, [Dense(1, "relu"), Dense(1)]), "squared_error")
    case = Case(objective, np.array([1.0, 0.0, 1.0, 1.0]), np.zeros((1, 1)), np.zeros((1, 1)), None)
    assert not case.is_smooth()
    assert worst(case, central(case)) > CENTRAL
