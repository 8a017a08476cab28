"""optimizers.py (rules.py, clipping.py): every rule through one contract and by hand; planted faults are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import glassnet as gn
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, GlassnetTypeError
from glassnet.optimizers import RULES, SGD, AdaGrad, Adam, AdamW, ClipNorm, NAdam, RMSProp, Rule, RuleState, get
from glassnet.schedules import Cosine, Exponential, as_schedule

CASES: dict[str, Rule] = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.1, momentum=0.9),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "adagrad": AdaGrad(0.5),
    "rmsprop": RMSProp(0.01),
    "adam": Adam(0.1),
    "adamw": AdamW(0.1, weight_decay=0.1),
    "nadam": NAdam(0.1),
    "clipped sgd": ClipNorm(SGD(0.1), 0.5),
    "clipped adamw": ClipNorm(AdamW(0.1), 0.5),
}
every_rule = pytest.mark.parametrize("rule", CASES.values(), ids=CASES)

P = 7
DECAYED = np.arange(P) % 3 > 0


def test_the_table_misses_no_rule() -> None:
    assert {type(rule) for rule in CASES.values()} == set(RULES.values()) | {ClipNorm}


# ---- the contract -------------------------------------------------------------------------------------------------


def frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


def walk(rule: Rule, theta: Array, grads: Array, rate: float = 0.1) -> tuple[Array, RuleState]:
    """Return theta after the gradients, one a row, and the last state."""
    state = rule.init(theta, DECAYED)
    for grad in grads:
        step, state = rule.step(grad, state, rate, theta)
        theta = theta + step
    return theta, state


def check_pure(rule: Rule) -> None:
    rng = np.random.default_rng(0)
    theta, state = walk(rule, rng.normal(size=P), rng.normal(size=(3, P)))
    state = state._replace(slots=tuple(np.array(slot) for slot in state.slots))
    grad, before = rng.normal(size=P), [slot.copy() for slot in state.slots]
    for array in (grad, theta, *state.slots):
        frozen(array)
    try:
        first, new = rule.step(grad, state, 0.1, theta)
        second, again = rule.step(grad, state, 0.1, theta)
    except ValueError as error:
        raise AssertionError("the rule writes into its arguments") from error
    np.testing.assert_array_equal(first, second)
    assert state.t == 3
    assert new.t == again.t == 4
    for old, kept, one, two in zip(before, state.slots, new.slots, again.slots, strict=True):
        np.testing.assert_array_equal(old, kept)
        np.testing.assert_array_equal(one, two)


def check_stack(rule: Rule) -> None:
    rng = np.random.default_rng(1)
    theta, grads = rng.normal(size=(3, P)), rng.normal(size=(20, 3, P)) * [[1.0], [10.0], [0.01]]
    together, _ = walk(rule, theta, grads)
    assert together.shape == (3, P)
    for s in range(3):
        np.testing.assert_allclose(together[s], walk(rule, theta[s], grads[:, s])[0], rtol=1e-14, atol=0)


def check_dtype(rule: Rule, dtype: type = np.float32) -> None:
    rng = np.random.default_rng(2)
    theta, state = rng.normal(size=P).astype(dtype), rule.init(np.zeros(P, dtype), DECAYED)
    for grad in rng.normal(size=(5, P)).astype(dtype):
        step, state = rule.step(grad, state, 0.1, theta)
        assert step.dtype == dtype
        assert all(slot.dtype == dtype for slot in state.slots)


def check_finite_at_zero(rule: Rule) -> None:
    """A gradient of exact zeros, from the first step on, must move nothing (but the decay) and divide by nothing."""
    step, state = rule.step(np.zeros(P), rule.init(np.zeros(P), DECAYED), 0.1, np.zeros(P))
    np.testing.assert_array_equal(step, np.zeros(P))
    assert all(np.isfinite(slot).all() for slot in state.slots)


CHECKS: dict[str, Callable[[Rule], None]] = {
    "pure": check_pure, "stack": check_stack, "dtype": check_dtype, "zero": check_finite_at_zero,
}  # fmt: skip


@every_rule
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_contract(check: Callable[[Rule], None], rule: Rule) -> None:
    check(rule)


@dataclass(frozen=True)
class Faulty:
    """A momentum rule with one planted fault."""

    fault: str
    learning_rate: float = 0.1

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        return RuleState(0, (np.zeros_like(theta),))

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        v = state.slots[0] if self.fault == "pure" else state.slots[0].copy()
        v *= 0.9
        if self.fault == "stack":
            grad = grad / np.sqrt((grad * grad).sum() + 1.0)
        v -= learning_rate * grad
        if self.fault == "zero":
            v += 0.01
        return (v.astype(np.float64) if self.fault == "dtype" else v), RuleState(state.t + 1, (v,))


@pytest.mark.parametrize("fault", CHECKS)
def test_planted_fault_is_seen(fault: str) -> None:
    with pytest.raises(AssertionError):
        CHECKS[fault](Faulty(fault))
    if fault != "pure":
        CHECKS["pure"](Faulty(fault))


@every_rule
def test_the_state_forgets_nothing_and_shares_nothing(rule: Rule) -> None:
    """Two runs from one start do not disturb each other; a run cut in two is the same run."""
    rng = np.random.default_rng(3)
    theta, grads = rng.normal(size=P), rng.normal(size=(10, P))
    whole, _ = walk(rule, theta, grads)
    middle, state = walk(rule, theta, grads[:6])
    walk(rule, theta, grads[::-1])
    for grad in grads[6:]:
        step, state = rule.step(grad, state, 0.1, middle)
        middle = middle + step
    np.testing.assert_array_equal(middle, whole)
    assert state.t == 10


@every_rule
def test_the_state_says_whose_it_is(rule: Rule) -> None:
    """From the start and after each step; a clipped rule's state is that of the rule inside."""
    own = rule.rule if isinstance(rule, ClipNorm) else rule
    start = rule.init(np.zeros(P), DECAYED)
    assert start.rule == walk(rule, np.zeros(P), np.ones((2, P)))[1].rule == type(own).__name__


# ---- worked by hand -----------------------------------------------------------------------------------------------

BY_HAND: dict[str, tuple[Rule, float, list[float], list[float]]] = {
    # v = -.1, -.19
    "momentum": (SGD(0.1, momentum=0.9), 0.1, [1, 1], [-0.1, -0.19]),
    # .9(-.1) - .1; .9(-.19) - .1
    "nesterov": (SGD(0.1, momentum=0.9, nesterov=True), 0.1, [1, 1], [-0.19, -0.271]),
    # r = 9, 25: .5*3 / (.5 + 3); .5*4 / (.5 + 5)
    "adagrad": (AdaGrad(eps=0.5), 0.5, [3, 4], [-3 / 7, -4 / 11]),
    # r = 4/4 = 1, then 3/4 + 1/4 = 1: 2 / (.5 + 1); 1 / (.5 + 1)
    "rmsprop": (RMSProp(rho=0.75, eps=0.5), 1.0, [2, 1], [-4 / 3, -2 / 3]),
    # m = 1, v = 1, M = 2, V = 4: 2 / (2 + .5); m = -1/2, v = 7/4, M = -2/3, V = 4: (2/3) / 2.5
    "adam": (Adam(beta1=0.5, beta2=0.75, eps=0.5), 1.0, [2, -2], [-0.8, 4 / 15]),
    # mu = 1/4 for ever (decay 0), c = 1/4: M = (1/4) / (15/16) + (3/4) 2 / (3/4) = 34/15, V = 4
    "nadam": (NAdam(beta1=0.5, beta2=0.75, eps=0.5, decay=0.0), 1.0, [2], [-68 / 75]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_equation_by_hand(name: str) -> None:
    rule, rate, grads, steps = BY_HAND[name]
    state = rule.init(np.zeros(1))
    for grad, expected in zip(grads, steps, strict=True):
        step, state = rule.step(np.array([float(grad)]), state, rate, np.zeros(1))
        assert step == pytest.approx([expected], rel=1e-13)


def test_adamw_by_hand() -> None:
    rule = AdamW(0.5, weight_decay=0.1, beta1=0.5, beta2=0.75, eps=0.5)
    state = rule.init(np.zeros(2), np.array([True, False]))
    step, _ = rule.step(np.array([2.0, 2.0]), state, 0.5, np.array([10.0, 10.0]))
    assert step == pytest.approx([-0.4 - 0.5, -0.4], rel=1e-13)  # Adam's -0.8 halved, and 0.5 * 0.1 * 10


def test_sgd_is_minus_rate_times_gradient() -> None:
    grad = np.array([1.0, -2.0, 0.0])
    np.testing.assert_array_equal(SGD().step(grad, SGD().init(grad), 0.25)[0], [-0.25, 0.5, 0.0])


# ---- minima -------------------------------------------------------------------------------------------------------


def ellipse(t: Array) -> Array:
    """Gradient of ((t0 - 1)^2 + 100 (t1 + 2)^2) / 2."""
    return np.array([t[0] - 1.0, 100.0 * (t[1] + 2.0)])


def rosenbrock(t: Array) -> Array:
    """Gradient of (1 - t0)^2 + 100 (t1 - t0^2)^2."""
    bend = t[1] - t[0] ** 2
    return np.array([-2.0 * (1.0 - t[0]) - 400.0 * t[0] * bend, 200.0 * bend])


ZOO = {"ellipse": (ellipse, [0.0, 0.0], [1.0, -2.0]), "rosenbrock": (rosenbrock, [-0.5, 1.0], [1.0, 1.0])}
BUDGETS: dict[str, dict[str, tuple[Callable[..., Rule], float, int]]] = {
    "ellipse": {
        "sgd": (SGD, 0.019, 800),
        "momentum": (lambda rate: SGD(rate, momentum=0.9), 0.01, 300),
        "nesterov": (lambda rate: SGD(rate, momentum=0.9, nesterov=True), 0.01, 300),
        "adagrad": (AdaGrad, 1.0, 300),
        "rmsprop": (RMSProp, 0.1, 300),
        "adam": (Adam, 0.2, 300),
        "adamw": (lambda rate: AdamW(rate, weight_decay=0.0), 0.2, 300),
        "nadam": (NAdam, 0.2, 300),
        "clipped": (lambda rate: ClipNorm(SGD(rate, momentum=0.9), 20.0), 0.01, 600),
    },
    "rosenbrock": {
        "sgd": (SGD, 0.002, 20_000),
        "momentum": (lambda rate: SGD(rate, momentum=0.9), 0.001, 5000),
        "nesterov": (lambda rate: SGD(rate, momentum=0.9, nesterov=True), 0.001, 5000),
        "adagrad": (AdaGrad, 0.5, 20_000),
        "rmsprop": (RMSProp, 0.01, 10_000),
        "adam": (Adam, 0.5, 2000),
        "adamw": (lambda rate: AdamW(rate, weight_decay=0.0), 0.5, 2000),
        "nadam": (NAdam, 0.1, 10_000),
        "clipped": (lambda rate: ClipNorm(SGD(rate, momentum=0.9), 20.0), 0.001, 5000),
    },
}
"""Function -> rule -> (how it is made, rate, steps within which it must arrive). The rate falls along a cosine."""


def distance(make: Callable[..., Rule], rate: float, steps: int, function: str) -> float:
    gradient, start, minimum = ZOO[function]
    rule = make(Cosine(rate, steps))
    theta = np.array(start)
    state, schedule = rule.init(theta), as_schedule(rule.learning_rate)
    for t in range(steps):
        step, state = rule.step(gradient(theta), state, schedule(t), theta)
        theta = theta + step
    return float(np.abs(theta - minimum).max())


@pytest.mark.parametrize(("function", "rule"), [(f, rule) for f, rules in BUDGETS.items() for rule in rules])
def test_arrives_at_the_minimum_within_its_budget(function: str, rule: str) -> None:
    assert distance(*BUDGETS[function][rule], function) < 1e-3


def test_a_rule_that_climbs_does_not_arrive() -> None:
    @dataclass(frozen=True)
    class Climbing(SGD):
        def step(self, grad: Array, *rest: object) -> tuple[Array, RuleState]:
            step, state = super().step(grad, *rest)
            return -np.sign(step) * 0.01, state

    assert distance(Climbing, 0.01, 100, "ellipse") > 1e-3


# ---- decay, clipping, schedules -----------------------------------------------------------------------------------


def test_adamw_decays_only_where_told() -> None:
    """Without a gradient only the decay is left: (1 - rate decay)^n on the weights, nothing on the biases."""
    rule, theta = AdamW(0.5, weight_decay=0.2), np.arange(1.0, P + 1.0)
    after, _ = walk(rule, theta, np.zeros((3, P)), rate=0.5)
    np.testing.assert_allclose(after, np.where(DECAYED, 0.729 * theta, theta), rtol=1e-14)
    state = rule.init(theta)
    np.testing.assert_allclose(rule.step(np.zeros(P), state, 0.5, theta)[0], -0.1 * theta, rtol=1e-14)


def test_adamw_spares_the_biases_of_a_network() -> None:
    net = gn.Network(2, [gn.Dense(3), gn.BatchNorm(), gn.Dense(1)])
    flat = gn.Objective(net, (lambda a, y: 0.0 * a, lambda a, y: 0.0 * a))
    start = np.full(net.n_parameters, 2.0)
    rule = AdamW(0.5, weight_decay=0.2)
    run = gn.train(flat, start, np.ones((4, 2)), np.ones((4, 1)), optimizer=rule, epochs=3, batch_size=4)
    for name, view in net.views(run.theta).items():
        np.testing.assert_allclose(view, 2.0 * 0.729 if name.startswith("W") else 2.0, rtol=1e-14, err_msg=name)


def test_adamw_asks_for_theta() -> None:
    with pytest.raises(GlassnetError, match=r"theta must be given to AdamW\.step"):
        AdamW().step(np.ones(P), AdamW().init(np.ones(P)), 0.1)


RANGES = {"eps": "positive and finite"}


@pytest.mark.parametrize(
    ("grad", "max_norm", "expected"),
    [
        ([3.0, 4.0], 1.0, [0.6, 0.8]),
        ([3.0, 4.0], 5.0, [3.0, 4.0]),
        ([0.3, 0.4], 1.0, [0.3, 0.4]),
        ([0.0, 0.0], 1.0, [0.0, 0.0]),
        ([[3.0, 4.0], [0.3, 0.4]], 1.0, [[0.6, 0.8], [0.3, 0.4]]),
        ([3e200, 4e200], 1.0, [0.6, 0.8]),
    ],
)  # fmt: skip
def test_clip_norm(grad: list[float], max_norm: float, expected: list[float]) -> None:
    rule = ClipNorm(SGD(1.0), max_norm)
    g = np.array(grad)
    np.testing.assert_allclose(-rule.step(g, rule.init(g), 1.0)[0], expected, rtol=1e-15)


def test_clip_norm_is_its_rule_otherwise() -> None:
    schedule = Exponential(0.3, 0.5)
    assert ClipNorm(Adam(schedule)).learning_rate is schedule
    rng = np.random.default_rng(4)
    theta, grads = rng.normal(size=P), rng.normal(size=(5, P))
    np.testing.assert_array_equal(walk(ClipNorm(AdamW(), 1e9), theta, grads)[0], walk(AdamW(), theta, grads)[0])


# ---- what is refused ----------------------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], object], str]] = [
    *(
        ((lambda kind=kind, rate=rate: kind(rate)), "learning_rate must be")
        for kind in RULES.values()
        for rate in (0.0, -0.1, float("nan"), float("inf"), "0.1", None, True)
    ),
    *(
        (
            (lambda kind=kind, name=name, bad=bad: kind(**{name: bad})),
            f"{name} of {kind.__name__} must be {RANGES.get(name, 'in .0, 1.')}, received {bad}",
        )
        for kind, names in {
            SGD: ["momentum"], AdaGrad: ["eps"], RMSProp: ["rho", "eps"], Adam: ["beta1", "beta2", "eps"],
            AdamW: ["beta1", "beta2", "eps", "weight_decay"], NAdam: ["beta1", "beta2", "eps", "decay"],
        }.items()
        for name in names
        for bad in (-0.1, float("nan"), *((0.0, float("inf")) if name == "eps" else (1.0,)))
    ),
    (lambda: SGD(nesterov=True), "momentum of SGD must be positive with nesterov=True"),
    (lambda: ClipNorm(SGD(), 0.0), "max_norm of ClipNorm must be positive"),
    (lambda: ClipNorm(SGD(), float("nan")), "max_norm of ClipNorm must be positive"),
    (lambda: get("adm"), r"unknown optimizer 'adm': did you mean 'adam'\? Known: sgd, adagrad"),
    (lambda: get("RMSprp"), "did you mean 'rmsprop'"),
    (lambda: get("qqqqq"), "unknown optimizer 'qqqqq': Known: sgd"),
    (lambda: get("sgd", -1.0), "learning_rate must be positive"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_bad_options_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make()


@pytest.mark.parametrize("thing", [None, 3, SGD, {"name": "sgd"}])
def test_what_is_no_rule_is_refused(thing: object) -> None:
    with pytest.raises(GlassnetTypeError, match="optimizer must be a name or a rule such as"):
        get(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RULES)
def test_get_by_name(name: str) -> None:
    assert get(name) == RULES[name]()
    assert get(name, 0.123).learning_rate == 0.123
    schedule = Exponential(0.1)
    assert get(name, schedule).learning_rate is schedule
    assert get(rule := RULES[name](0.5)) is rule
