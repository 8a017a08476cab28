"""PyTorch as a witness: outputs, losses and gradients of 200 random networks agree to 1e-10 in float64.

PyTorch derives its gradients by itself (autograd), so nothing here is a second copy of our derivatives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import scipy.special

from glassnet import BatchNorm, Dense, Dropout, LayerNorm, Network, Objective
from glassnet import activations as acts
from glassnet.activations import ACTIVATIONS
from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.losses import LOSSES
from glassnet.losses import get as loss_named

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.witness
TOLERANCE = 1e-10
SEEDS = range(200)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TORCH_ACTIVATIONS = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "selu": F.selu,
    "softplus": lambda z: F.softplus(z, threshold=1e6),
    "silu": F.silu,
    "gelu": lambda z: F.gelu(z, approximate="tanh"),
    "mish": F.mish,
    "softmax": lambda z: torch.softmax(z, dim=-1),
    "exp": torch.exp,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.01),
    "elu": F.elu,
}


def cross_entropy(z, a, y, smoothing=0.0):
    return F.cross_entropy(z, y, label_smoothing=smoothing, reduction="none")[:, None]


def poisson(z, a, y):
    """Without what does not depend on the output: y ln y - y."""
    return F.poisson_nll_loss(z, y, log_input=True, reduction="none")


def focal(z, a, y, gamma=2.0):
    p = torch.where(y == 1, a, 1 - a)
    return -((1 - p) ** gamma) * torch.log(p)


TORCH_LOSSES = {  # name of the loss and its output activation, or None for any -> (options, cost of (z, a, y))
    ("squared_error", None): ({}, lambda z, a, y: F.mse_loss(a, y, reduction="none") / 2),
    ("absolute_error", None): ({}, lambda z, a, y: F.l1_loss(a, y, reduction="none")),
    ("huber", None): ({"delta": 0.4}, lambda z, a, y: F.huber_loss(a, y, delta=0.4, reduction="none")),
    ("quantile", None): ({"q": 0.8}, lambda z, a, y: torch.where(y > a, 0.8 * (y - a), 0.2 * (a - y))),
    ("poisson", "exp"): ({}, poisson),
    ("poisson", "softplus"): ({}, lambda z, a, y: F.poisson_nll_loss(a, y, log_input=False, eps=0, reduction="none")),
    ("gamma", "exp"): ({}, lambda z, a, y: y / a + torch.log(a)),
    ("gamma", "softplus"): ({}, lambda z, a, y: y / a + torch.log(a)),
    ("cross_entropy", "softmax"): ({}, cross_entropy),
    ("cross_entropy", "softmax", 1): ({"label_smoothing": 0.2}, lambda z, a, y: cross_entropy(z, a, y, 0.2)),
    ("binary_cross_entropy", "sigmoid"): (
        {},
        lambda z, a, y: F.binary_cross_entropy_with_logits(z, y, reduction="none"),
    ),
    ("binary_cross_entropy", "sigmoid", 1): (
        {"label_smoothing": 0.2},
        lambda z, a, y: F.binary_cross_entropy_with_logits(z, 0.8 * y + 0.1, reduction="none"),
    ),
    ("binary_cross_entropy", "softmax"): ({}, lambda z, a, y: F.binary_cross_entropy(a, y, reduction="none")),
    ("focal", "sigmoid"): ({}, focal),
    ("focal", "softmax"): ({}, focal),
    ("focal", "sigmoid", 1): ({"gamma": 0.5}, lambda z, a, y: focal(z, a, y, 0.5)),
}


def constant(loss: str, y: Array) -> Array:
    """Return what our deviances have and PyTorch's losses leave out: they are 0 where a = y."""
    if loss == "poisson":
        return scipy.special.xlogy(y, y) - y
    return -1 - np.log(y) if loss == "gamma" else np.zeros_like(y)


def targets(kind: str, rng: np.random.Generator, m: int, k: int) -> Array:
    return {
        "real": lambda: rng.normal(size=(m, k)),
        "nonnegative": lambda: rng.poisson(1.5, (m, k)).astype(float),
        "positive": lambda: rng.gamma(2.0, 1.0, (m, k)) + 0.1,
        "unit": lambda: rng.integers(0, 2, (m, k)).astype(float),
        "simplex": lambda: rng.dirichlet(np.ones(k), m),
    }[kind]()


@dataclass(frozen=True)
class Case:
    objective: Objective
    key: tuple
    theta: Array
    state: Array
    X: Array
    Y: Array
    weights: Array | None
    training: bool


@cache
def case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    key = list(TORCH_LOSSES)[seed % len(TORCH_LOSSES)]
    name, output = key[0], key[1] or rng.choice(list(ACTIVATIONS))
    layers: list[object] = []
    for _ in range(seed % 5):  # depths 1 to 5
        layers.append(Dense(int(rng.integers(1, 9)), str(rng.choice(list(ACTIVATIONS))), bias=rng.random() < 0.8))
        kinds = [[], [Dropout(0.3)], [BatchNorm(0.9, 1e-3)], [LayerNorm(1e-3)], [BatchNorm(0.5, 1e-2), Dropout(0.2)]]
        layers += kinds[rng.integers(5)]
    units = int(rng.integers(2 if output == "softmax" else 1, 6))
    net = Network(int(rng.integers(1, 7)), [*layers, Dense(units, str(output))])
    l1, l2 = rng.choice([0.0, 0.1], 2)
    loss = loss_named({"name": name, **TORCH_LOSSES[key][0]})
    objective = Objective(net, loss, l1=float(l1), l2=float(l2), engine="numpy")
    theta = 0.6 * net.init(rng) + 0.2 * rng.normal(size=net.n_parameters)
    state = net.init_state() + 0.5 * rng.random(net.state_layout.size)
    m = int(rng.integers(2, 10))
    X, Y = rng.normal(size=(m, net.n_inputs)), targets(loss.targets, rng, m, net.n_outputs)
    return Case(objective, key, theta, state, X, Y, rng.random(m) if rng.random() < 0.5 else None, rng.random() < 0.6)


def forward(c: Case, theta, masks: list[Array]):
    """Return z and a of the last layer, and the running statistics, by PyTorch."""
    net = c.objective.net
    p, stats = net.layout.slices, {}
    own = {name: torch.tensor(view.copy()) for name, view in net.state_layout.views(c.state).items()}

    def get(name: str, l: int):
        full = f"{name}{l}"
        return theta[p[full]].reshape(dict(net.layout.shapes)[full]) if full in p else None

    a = torch.tensor(c.X)
    for l, layer in enumerate(net.layers, 1):
        if isinstance(layer, Dense):
            z = F.linear(a, get("W", l).T, get("b", l))
        elif isinstance(layer, Dropout):
            z = a * torch.tensor(masks[l])
        elif isinstance(layer, LayerNorm):
            z = F.layer_norm(a, a.shape[-1:], get("gamma", l), get("beta", l), layer.eps)
        else:
            mean, var = own[f"mean{l}"], own[f"var{l}"]
            start = var.clone()
            z = F.batch_norm(a, mean, var, get("gamma", l), get("beta", l), c.training, 1 - layer.momentum, layer.eps)
            m = len(a)  # PyTorch's running variance takes the unbiased one of the batch, ours the biased one
            kept = layer.momentum * start
            stats |= {f"mean{l}": mean, f"var{l}": kept + (var - kept) * (m - 1) / m if c.training else var}
        a = TORCH_ACTIVATIONS[layer.function.name](z)
    return z, a, stats


def masks_of(trace) -> list[Array]:
    """Read what each layer multiplied by; where an activation is 0 the mask makes no difference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return [np.empty(0)] + [
            np.where(trace.a[l - 1] != 0, trace.z[l] / trace.a[l - 1], 0.0)
            if trace.z[l].shape == trace.a[l - 1].shape
            else np.empty(0)
            for l in range(1, len(trace.z))
        ]


def error(ours: Array, theirs: Array) -> float:
    """The largest difference, relative to the largest number."""
    return float(np.abs(ours - theirs).max(initial=0.0) / max(np.abs(theirs).max(initial=0.0), 1e-3))


def errors(c: Case) -> dict[str, float]:
    net, rng = c.objective.net, 11
    trace = net.forward(c.theta, c.X, state=c.state, training=c.training, rng=rng)
    J, grad = c.objective.value_and_grad(c.theta, c.X, c.Y, c.weights, state=c.state, training=c.training, rng=rng)
    theta = torch.tensor(c.theta, requires_grad=True)
    z, a, stats = forward(c, theta, masks_of(trace))
    y = torch.tensor(c.Y)
    w = torch.ones(len(y), dtype=y.dtype) if c.weights is None else torch.tensor(c.weights)
    cost = TORCH_LOSSES[c.key][1](z, a, y).sum(dim=-1) + torch.tensor(constant(c.key[0], c.Y).sum(axis=-1))
    W = theta[torch.tensor(net.weights)]
    total = (w * cost).sum() / w.sum() + c.objective.l1 * W.abs().sum() + c.objective.l2 / 2 * (W * W).sum()
    (gradient,) = torch.autograd.grad(total, theta)
    running = net.state_layout.views(trace.state) if stats else {}
    return {
        "output": error(trace.output, a.detach().numpy()),
        "J": error(np.asarray(J), total.detach().numpy()),
        "gradient": error(grad, gradient.numpy()),
        "statistics": max((error(running[name], stats[name].numpy()) for name in stats), default=0.0),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_pytorch(seed: int) -> None:
    found = errors(case(seed))
    assert max(found.values()) < TOLERANCE, (found, case(seed).objective)


def test_the_draws_meet_everything() -> None:
    drawn = [case(seed) for seed in SEEDS]
    layers = [layer for c in drawn for layer in c.objective.net.layers]
    assert {layer.function.name for layer in layers} == set(ACTIVATIONS) == set(TORCH_ACTIVATIONS)
    assert {type(layer) for layer in layers} == {Dense, Dropout, BatchNorm, LayerNorm}
    assert {c.objective.loss_record.name for c in drawn} == set(LOSSES)
    depths = Counter(sum(isinstance(layer, Dense) for layer in c.objective.net.layers) for c in drawn)
    assert set(depths) == {1, 2, 3, 4, 5}
    for flag in ("training", "weights"):
        assert 20 < sum(bool(np.any(getattr(c, flag))) for c in drawn) < 180


def test_pairs_that_torch_is_asked_about_are_those_allowed() -> None:
    for name, output, *_ in TORCH_LOSSES:
        loss_named(name).check_output(acts.get(output or "identity").range, output or "identity")
    for name, range_ in (("poisson", "real"), ("cross_entropy", "unit")):
        with pytest.raises(GlassnetError):
            loss_named(name).check_output(range_, "identity")


@pytest.mark.parametrize("change", ["slope", "eps", "label"])
def test_a_small_fault_is_seen(change: str) -> None:
    """A derivative, a constant or an option that is off by one part in a million is far outside the tolerance."""
    rng = np.random.default_rng(0)
    wrong = (acts.get("tanh").f, lambda z, a: (1 - a * a) * (1 + 1e-6))
    layers = {
        "slope": [Dense(4, acts.Activation("tanh", *wrong)), Dense(2, "softmax")],
        "eps": [Dense(4, "tanh"), LayerNorm(1e-3), Dense(2, "softmax")],
        "label": [Dense(4, "tanh"), Dense(2, "softmax")],
    }[change]
    net = Network(3, layers)
    loss = {"name": "cross_entropy", "label_smoothing": 1e-6} if change == "label" else "cross_entropy"
    X, Y = rng.normal(size=(5, 3)), targets("simplex", rng, 5, 2)
    c = Case(Objective(net, loss), ("cross_entropy", "softmax"), net.init(1), net.init_state(), X, Y, None, False)
    if change == "eps":
        theirs = replace(c, objective=Objective(Network(3, [layers[0], LayerNorm(1.001e-3), layers[2]]), loss))
        output = forward(theirs, torch.tensor(c.theta), [])[1].numpy()
        assert error(net.forward(c.theta, X).output, output) > TOLERANCE
    else:
        assert max(errors(c).values()) > TOLERANCE
