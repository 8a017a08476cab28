"""Every rule against PyTorch's own, step by step, and whole runs of `train` against a PyTorch loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet.arrays import Array
from glassnet.optimizers import RULES, SGD, AdaGrad, Adam, AdamW, ClipNorm, NAdam, RMSProp, Rule

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.witness

STEPS, P = 50, 12
MAX_NORM = 0.2
DECAYED = np.arange(P) < 8
MakeTorch = Callable[[list[Any]], Any]

RULE_PAIRS: dict[str, tuple[Rule, MakeTorch]] = {
    "sgd": (SGD(0.05), lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": (SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "nesterov": (
        SGD(0.05, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    ),
    "adagrad": (AdaGrad(0.1, eps=1e-7), lambda p: torch.optim.Adagrad(p, 0.1, eps=1e-7)),
    "rmsprop": (RMSProp(0.01), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.99, eps=1e-8)),
    "rmsprop rho eps": (RMSProp(0.01, rho=0.8, eps=1e-3), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.8, eps=1e-3)),
    "adam": (Adam(0.05), lambda p: torch.optim.Adam(p, 0.05)),
    "adam betas eps": (
        Adam(0.05, beta1=0.8, beta2=0.95, eps=1e-3),
        lambda p: torch.optim.Adam(p, 0.05, betas=(0.8, 0.95), eps=1e-3),
    ),
    "adamw": (AdamW(0.05, weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1)),
    "nadam": (NAdam(0.05), lambda p: torch.optim.NAdam(p, 0.05)),
    "nadam decay": (NAdam(0.05, decay=0.1), lambda p: torch.optim.NAdam(p, 0.05, momentum_decay=0.1)),
    "clipped momentum": (
        ClipNorm(SGD(0.05, momentum=0.9), MAX_NORM),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
    ),
    "clipped adam": (ClipNorm(Adam(0.05), MAX_NORM), lambda p: torch.optim.Adam(p, 0.05)),
}


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """PyTorch's NAdam keeps its product of momenta in the default dtype, whatever the parameters have."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


every_rule = pytest.mark.parametrize("name", RULE_PAIRS)


def test_no_rule_is_missing() -> None:
    assert {type(rule) for rule, _ in RULE_PAIRS.values()} == set(RULES.values()) | {ClipNorm}


def tensor(array: Array, *, grad: bool = False) -> Any:
    return torch.tensor(array, dtype=torch.float64, requires_grad=grad)


def clip(parameters: list[Any]) -> None:
    """Shorten the gradients with PyTorch's clip_grad_norm_.

    PyTorch divides by |g| + 1e-6, the paper and glassnet by |g|: a bound that is larger by the factor
    (|g| + 1e-6) / |g| makes PyTorch's quotient the exact one.
    """
    norm = float(torch.linalg.vector_norm(torch.cat([p.grad.ravel() for p in parameters])))
    if norm > MAX_NORM:
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM * (norm + 1e-6) / norm)


# ---- step by step -------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(20, P)), RNG.normal(size=20)
START = RNG.normal(size=P)
SEQUENCE = RNG.normal(size=(STEPS, P)) * 10.0 ** RNG.uniform(-4, 2, size=(STEPS, 1))


def bowl(t: Array, n: int) -> Array:
    """The gradient of sum log cosh(A t - b) + sum t^4 / 4."""
    return A.T @ np.tanh(A @ t - B) + t**3


def given(t: Array, n: int) -> Array:
    return SEQUENCE[n]


def torch_bowl(t: Any, n: int) -> Any:
    r = tensor(A) @ t - tensor(B)
    return torch.log(torch.cosh(r)).sum() + (t**4).sum() / 4


def torch_given(t: Any, n: int) -> Any:
    return tensor(SEQUENCE[n]) @ t


SOURCES = {"function": (bowl, torch_bowl), "sequence": (given, torch_given)}


def our_path(rule: Rule, gradient: Callable[[Array, int], Array], decayed: Array | None = None) -> Iterator[Array]:
    theta = START.copy()
    state = rule.init(theta, decayed)
    for n in range(STEPS):
        step, state = rule.step(gradient(theta, n), state, float(rule.learning_rate), theta)  # type: ignore[arg-type]
        theta = theta + step
        yield theta


def torch_path(make: MakeTorch, function: Callable[[Any, int], Any], *, clipped: bool) -> Iterator[Array]:
    t = tensor(START, grad=True)
    optimizer = make([t])
    for n in range(STEPS):
        optimizer.zero_grad()
        function(t, n).backward()
        if clipped:
            clip([t])
        optimizer.step()
        yield t.detach().numpy().copy()


def worst(rule: Rule, make: MakeTorch, source: str) -> float:
    """Return the largest difference on the way, relative to max(|theta|, 1)."""
    gradient, function = SOURCES[source]
    ours = np.array(list(our_path(rule, gradient)))
    theirs = np.array(list(torch_path(make, function, clipped=isinstance(rule, ClipNorm))))
    assert np.ptp(theirs, axis=0).min() > 1e-3, "a path that goes nowhere shows nothing"
    return float((np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0)).max())


@every_rule
@pytest.mark.parametrize("source", SOURCES)
def test_fifty_steps_equal_pytorch(name: str, source: str) -> None:
    assert worst(*RULE_PAIRS[name], source) < 1e-12


@pytest.mark.parametrize(
    ("rule", "rival"),
    [
        (AdaGrad(0.1, eps=1e-6), "adagrad"),
        (RMSProp(0.01, eps=1e-7), "rmsprop"),
        (Adam(0.05, eps=1e-7), "adam"),
        (Adam(0.05), "adamw"),
        (SGD(0.05, momentum=0.9), "nesterov"),
        (NAdam(0.05, decay=0.0), "nadam"),
        (ClipNorm(Adam(0.05), 0.99 * MAX_NORM), "clipped adam"),
    ],
)
def test_a_slightly_different_definition_is_seen(rule: Rule, rival: str) -> None:
    assert worst(rule, RULE_PAIRS[rival][1], "function") > 1e-10


def test_adamw_decays_the_same_group() -> None:
    heads, tails = tensor(START[DECAYED], grad=True), tensor(START[~DECAYED], grad=True)
    groups = [{"params": [heads], "weight_decay": 0.1}, {"params": [tails], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, 0.05)
    for ours in our_path(RULE_PAIRS["adamw"][0], bowl, DECAYED):
        optimizer.zero_grad()
        torch_bowl(torch.cat([heads, tails]), 0).backward()
        optimizer.step()
        theirs = torch.cat([heads, tails]).detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


# ---- whole runs ---------------------------------------------------------------------------------------------------

NET = gn.Network(3, [gn.Dense(5, "tanh"), gn.Dense(4, "sigmoid"), gn.Dense(2, "softmax")])
L2, EPOCHS = 0.01, 30
X = RNG.normal(size=(30, 3))
Y = np.eye(2)[(X[:, 0] * X[:, 1] > 0).astype(int)]


def torch_network(parameters: dict[str, Any], x: Any) -> Any:
    """The logits of the same network, in PyTorch's own functions."""
    hidden = torch.tanh(x @ parameters["W1"] + parameters["b1"])
    hidden = torch.sigmoid(hidden @ parameters["W2"] + parameters["b2"])
    return hidden @ parameters["W3"] + parameters["b3"]


def torch_loss(parameters: dict[str, Any], x: Any, y: Any) -> Any:
    penalty = sum((parameters[f"W{l}"] ** 2).sum() for l in (1, 2, 3))
    return torch.nn.functional.cross_entropy(torch_network(parameters, x), y) + L2 / 2 * penalty


def torch_train(
    make: MakeTorch, theta: Array, batch_size: int, *, clipped: bool = False, average: float | None = None
) -> tuple[Array, list[float]]:
    """Return the weights after EPOCHS of batches in order, and the mean loss of each epoch."""
    parameters = {name: tensor(view, grad=True) for name, view in NET.views(theta).items()}
    model = torch.nn.ParameterDict(parameters)
    decayed = [{"params": [p], **({} if name.startswith("W") else {"weight_decay": 0.0})} for name, p in model.items()]
    optimizer = make(decayed)
    swa = torch.optim.swa_utils
    mean = average and swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(average))
    losses = []
    for _ in range(EPOCHS):
        total = 0.0
        for start in range(0, len(X), batch_size):
            x, y = tensor(X[start : start + batch_size]), tensor(Y[start : start + batch_size])
            optimizer.zero_grad()
            loss = torch_loss(dict(model.items()), x, y)
            loss.backward()
            if clipped:
                clip(list(model.values()))
            optimizer.step()
            if mean:
                mean.update_parameters(model)
            total += loss.item() * len(x)
        losses.append(total / len(X))
    end = mean.module if mean else model
    return NET.layout.pack({name: p.detach().numpy() for name, p in end.items()}, np.float64), losses


@every_rule
@pytest.mark.parametrize("batch_size", [30, 7])
def test_a_whole_run_equals_pytorch(name: str, batch_size: int) -> None:
    rule, make = RULE_PAIRS[name]
    theta = NET.init(rng=1)
    objective = gn.Objective(NET, "cross_entropy", l2=L2)
    run = gn.train(objective, theta, X, Y, optimizer=rule, epochs=EPOCHS, batch_size=batch_size, sampling="sequential")
    end, losses = torch_train(make, theta, batch_size, clipped=isinstance(rule, ClipNorm))
    assert np.abs(end - theta).max() > 0.05
    if name == "clipped momentum":
        assert run.history["gradient_norm"].min() < MAX_NORM < run.history["gradient_norm"].max()
    np.testing.assert_allclose(run.theta, end, rtol=0, atol=1e-10)
    np.testing.assert_allclose(run.history["loss"], losses, rtol=0, atol=1e-10)


@pytest.mark.parametrize("average", [0.5, 0.9, 0.99])
def test_the_running_average_equals_pytorch(average: float) -> None:
    rule, make = RULE_PAIRS["momentum"]
    theta = NET.init(rng=1)
    run = gn.train(
        gn.Objective(NET, "cross_entropy", l2=L2), theta, X, Y,
        optimizer=rule, epochs=EPOCHS, batch_size=7, sampling="sequential", average=average,
    )  # fmt: skip
    end, losses = torch_train(make, theta, 7, average=average)
    plain, _ = torch_train(make, theta, 7)
    assert np.abs(end - plain).max() > 1e-4, "the average must differ from the last weights to show anything"
    np.testing.assert_allclose(run.theta, end, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.history["loss"], losses, rtol=0, atol=1e-12)
