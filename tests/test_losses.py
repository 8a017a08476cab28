"""losses.py: each slope belongs to its value, matched and unmatched forms agree, and scikit-learn says the same."""

from __future__ import annotations

import copy
import json
import pickle
from math import log

import numpy as np
import pytest
import scipy.special
import sklearn.metrics as metrics

from glassnet import registry
from glassnet.activations import get as activation
from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.losses import LOSSES, Loss, Matched, get, scaled

OPTIONS = [
    {"name": "huber", "delta": 0.3},
    {"name": "quantile", "q": 0.9},
    {"name": "cross_entropy", "label_smoothing": 0.1},
    {"name": "binary_cross_entropy", "label_smoothing": 0.1},
    {"name": "focal", "gamma": 0.5},
    {"name": "focal", "gamma": 0.0},
]
EVERY = [get(spec) for spec in [*LOSSES, *OPTIONS]]
MATCHED = [loss for loss in EVERY if loss.matched]
MATCHES = {  # written down a second time on purpose: this is the promise
    "squared_error": "identity",
    "poisson": "exp",
    "gamma": "exp",
    "cross_entropy": "softmax",
    "binary_cross_entropy": "sigmoid",
    "focal": "sigmoid",
}


def label(loss: Loss) -> str:
    return "-".join([loss.name, *(f"{key}={value:g}" for key, value in loss.options)])


every = pytest.mark.parametrize("loss", EVERY, ids=label)
matched = pytest.mark.parametrize("loss", MATCHED, ids=label)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def targets(loss: Loss, m: int = 50, k: int = 3, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    return {
        "real": lambda: rng.normal(size=(m, k)),
        "nonnegative": lambda: rng.poisson(1.5, (m, k)).astype(float),
        "positive": lambda: rng.gamma(2.0, 1.0, (m, k)),
        "unit": lambda: rng.integers(0, 2, (m, k)).astype(float),
        "simplex": lambda: np.eye(k)[rng.integers(0, k, m)],
    }[loss.targets]()


def outputs(loss: Loss, m: int = 50, k: int = 3) -> Array:
    rng = np.random.default_rng(0)
    return {
        "real": lambda: rng.normal(size=(m, k)),
        "positive": lambda: rng.gamma(3.0, 0.5, (m, k)) + 0.1,
        "unit": lambda: rng.dirichlet(np.ones(k) * 3, m),
        "simplex": lambda: rng.dirichlet(np.ones(k) * 3, m),
    }[loss.domain]()


def slope_error(loss: Loss) -> float:
    """Central differences of step 1e-6; outputs within 1e-4 of a kink are left out."""
    a, y, h = outputs(loss), targets(loss), 1e-6
    measured = (loss.value(a + h, y) - loss.value(a - h, y)) / (2 * h)
    kinks = [0.0] + [s * dict(loss.options).get("delta", 1.0) for s in (-1, 1)] * (loss.name == "huber")
    smooth = np.min([np.abs(a - y - kink) for kink in kinks], axis=0) > 1e-4
    assert smooth.mean() > 0.9
    error = np.abs(loss.slope(a, y) - measured) / np.maximum(np.abs(measured), 1.0)
    return float(error[smooth].max())


def delta_error(pair: Matched, y: Array) -> float:
    """Compare delta with a complex step in each z of the row."""

    def cost(z: Array) -> Array:
        return pair.value(z, f(z), y).sum(axis=-1)

    f = activation(pair.activation).f
    z, h = np.random.default_rng(2).normal(scale=2, size=y.shape), 1e-30
    steps = np.eye(y.shape[1])
    measured = np.stack([cost(z + 1j * h * e).imag / h for e in steps], axis=-1)
    delta = pair.delta(z, f(z), y)
    return float((np.abs(delta - measured) / np.maximum(np.abs(measured), 1.0)).max())


@every
def test_slope_equals_central_differences(loss: Loss) -> None:
    assert slope_error(loss) < 1e-8


@matched
def test_delta_equals_complex_step(loss: Loss) -> None:
    assert loss.matched is not None
    assert delta_error(loss.matched, targets(loss)) < 1e-13


@pytest.mark.parametrize("loss", [loss for loss in EVERY if loss.analytic], ids=label)
def test_slope_of_analytic_loss_equals_complex_step(loss: Loss) -> None:
    a, y, h = outputs(loss), targets(loss), 1e-30
    measured = loss.value(a + 1j * h, y).imag / h
    np.testing.assert_allclose(loss.slope(a, y), measured, rtol=1e-12, atol=1e-12)


def test_wrong_slope_and_delta_are_seen() -> None:
    square = get("squared_error")
    assert slope_error(Loss("wrong", square.value, lambda a, y: 2 * (a - y))) > 0.1
    assert (
        delta_error(Matched("sigmoid", lambda z, a, y: square.value(a, y), lambda z, a, y: a - y), np.zeros((5, 2)))
        > 0.1
    )


def test_matched_losses_name_their_activation() -> None:
    assert {name: get(name).matched.activation for name in LOSSES if get(name).matched} == MATCHES


@matched
def test_matched_form_equals_unmatched_form(loss: Loss) -> None:
    pair, y = loss.matched, targets(loss)
    assert pair is not None
    f = activation(pair.activation)
    z = np.random.default_rng(3).uniform(-4, 4, y.shape)
    a = f.f(z)
    np.testing.assert_allclose(pair.value(z, a, y), loss.value(a, y), rtol=1e-11, atol=1e-12)
    unmatched = f.pullback(z, a, loss.slope(a, y))
    np.testing.assert_allclose(pair.delta(z, a, y), unmatched, rtol=1e-11, atol=1e-12)


@dtypes
@matched
@pytest.mark.parametrize("size", [20.0, 88.0, 104.0, 710.0, 1e4])
def test_matched_form_is_finite_and_keeps_the_dtype(loss: Loss, size: float, dtype: type) -> None:
    pair, y = loss.matched, targets(loss).astype(dtype)
    assert pair is not None
    z = (size * np.random.default_rng(4).choice([-1, 1], y.shape)).astype(dtype)
    a = activation(pair.activation).f(z)
    for result in (pair.value(z, a, y), pair.delta(z, a, y)):
        assert result.dtype == dtype
        assert np.isfinite(result).all()


@dtypes
@every
def test_value_and_slope_are_finite_at_the_edge_of_the_domain(loss: Loss, dtype: type) -> None:
    y = targets(loss).astype(dtype)
    rng = np.random.default_rng(5)
    if loss.domain == "simplex":
        a = rng.permuted(np.eye(y.shape[1], dtype=dtype)[rng.integers(0, y.shape[1], len(y))], axis=1)
    else:
        low, high = {"real": (-1e4, 1e4), "positive": (0.0, 1e4), "unit": (0.0, 1.0)}[loss.domain]
        a = rng.choice(np.array([low, high], dtype), y.shape)
    for result in (loss.value(a, y), loss.slope(a, y)):
        assert result.dtype == dtype
        assert np.isfinite(result).all()


def mean_of_sums(loss: Loss, a: Array, y: Array) -> float:
    return float(loss.value(a, y).sum(axis=-1).mean())


def by_columns(metric: object, scale: float, **options: float) -> object:
    return lambda y, a: scale * sum(metric(*pair, **options) for pair in zip(y.T, a.T, strict=True))


def huber_of_scipy(delta: float) -> object:
    return lambda y, a: scipy.special.huber(delta, a - y).sum(axis=1).mean()


SKLEARN = [
    ("squared_error", by_columns(metrics.mean_squared_error, 0.5)),
    ("absolute_error", by_columns(metrics.mean_absolute_error, 1)),
    ("huber", huber_of_scipy(1.0)),
    ({"name": "huber", "delta": 0.3}, huber_of_scipy(0.3)),
    ("quantile", by_columns(metrics.mean_pinball_loss, 1, alpha=0.5)),
    ({"name": "quantile", "q": 0.9}, by_columns(metrics.mean_pinball_loss, 1, alpha=0.9)),
    ("poisson", by_columns(metrics.mean_poisson_deviance, 0.5)),
    ("gamma", by_columns(metrics.mean_gamma_deviance, 0.5)),
    ("cross_entropy", lambda y, a: metrics.log_loss(y, a)),
    ("binary_cross_entropy", by_columns(metrics.log_loss, 1)),
    ({"name": "focal", "gamma": 0.0}, by_columns(metrics.log_loss, 1)),
]


@pytest.mark.parametrize(("spec", "witness"), SKLEARN, ids=lambda x: label(get(x)) if not callable(x) else "")
def test_equals_scikit_learn_or_scipy(spec: object, witness: object) -> None:
    loss = get(spec)
    a, y = outputs(loss), targets(loss)
    assert mean_of_sums(loss, a, y) == pytest.approx(witness(y, a), rel=1e-12)


def test_poisson_without_its_half_would_be_seen() -> None:
    loss = get("poisson")
    a, y = outputs(loss), targets(loss)
    whole = by_columns(metrics.mean_poisson_deviance, 1.0)(y, a)
    assert mean_of_sums(loss, a, y) != pytest.approx(whole, rel=1e-2)


@pytest.mark.parametrize(
    ("spec", "a", "y", "value"),
    [
        ("squared_error", 3.0, 1.0, 2.0),
        ("absolute_error", -3.0, 1.0, 4.0),
        ("huber", 0.5, 0.0, 0.125),
        ("huber", 3.0, 0.0, 2.5),
        ({"name": "huber", "delta": 2.0}, -3.0, 0.0, 4.0),
        ({"name": "quantile", "q": 0.9}, 0.0, 10.0, 9.0),
        ({"name": "quantile", "q": 0.9}, 10.0, 0.0, 1.0),
        ("poisson", 2.0, 0.0, 2.0),
        ("poisson", 2.0, 2.0, 0.0),
        ("gamma", 2.0, 2.0, 0.0),
        ("binary_cross_entropy", 0.25, 1.0, log(4.0)),
        ("focal", 0.5, 1.0, log(2.0) / 4),
        ("focal", 0.5, 0.0, log(2.0) / 4),
        ({"name": "focal", "gamma": 1.0}, 0.75, 0.0, 0.75 * log(4.0)),
    ],
)
def test_known_values(spec: object, a: float, y: float, value: float) -> None:
    found = get(spec).value(np.array([[a]]), np.array([[y]]))
    assert float(found[0, 0]) == pytest.approx(value, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("size", [30.0, 60.0, 90.0, 700.0, 1e4])
def test_cross_entropy_of_a_probability_that_underflows_is_the_distance_of_the_logits(size: float) -> None:
    """Three logits 0, size, -size: the costs are their distances to ln(sum exp) = size, exact beyond 30."""
    pair, z, y = get("cross_entropy").matched, np.array([[0.0, size, -size]]), np.full((1, 3), 1 / 3)
    assert pair is not None
    expected = np.array([[size, 0.0, 2 * size]]) / 3
    np.testing.assert_allclose(pair.value(z, activation("softmax").f(z), y), expected, rtol=1e-14, atol=1e-12)


@every
def test_scaled_multiplies_value_slope_and_delta(loss: Loss) -> None:
    third, a, y = scaled(loss, 1 / 3), outputs(loss), targets(loss)
    np.testing.assert_allclose(third.value(a, y) * 3, loss.value(a, y), rtol=1e-14)
    assert slope_error(third) < 1e-8
    if third.matched is not None:
        assert delta_error(third.matched, y) < 1e-13
    assert scaled(loss, 1.0) is loss


def test_label_smoothing_moves_the_targets_towards_uniform() -> None:
    a, y = np.array([[0.7, 0.2, 0.1]]), np.array([[1.0, 0.0, 0.0]])
    smooth, plain = get({"name": "cross_entropy", "label_smoothing": 0.3}), get("cross_entropy")
    np.testing.assert_allclose(smooth.value(a, y), plain.value(a, np.array([[0.8, 0.1, 0.1]])))
    binary, two = ({"name": f"{kind}cross_entropy", "label_smoothing": 0.3} for kind in ("binary_", ""))
    assert get(binary).value(a[:, :1], y[:, :1]).sum() == pytest.approx(
        get(two).value(np.array([[0.7, 0.3]]), np.array([[1.0, 0.0]])).sum()
    )


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_quantile_loss_is_least_at_the_quantile(q: float) -> None:
    y = np.random.default_rng(0).normal(size=999)
    grid = np.sort(y)
    costs = get({"name": "quantile", "q": q}).value(grid[:, None], y[None, :]).mean(axis=1)
    assert grid[costs.argmin()] == pytest.approx(np.quantile(y, q), abs=0.02)


@pytest.mark.parametrize("name", ["absolute_error", "quantile"])
def test_slope_at_the_kink_is_0(name: str) -> None:
    assert get(name).slope(np.ones((1, 1)), np.ones((1, 1))) == 0


@every
def test_spec_round_trip(loss: Loss) -> None:
    assert get(registry.spec_of("loss", LOSSES, loss)) is loss


COPIES = pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])


@COPIES
@every
def test_copies_are_the_same_record(loss: Loss, again: object) -> None:
    assert again(loss) is loss


def cost(a: Array, y: Array) -> Array:
    """A module's own function: it is found again by its name."""
    return (a - y) ** 4


@COPIES
@pytest.mark.parametrize("name", ["fourth", "huber"])
def test_copies_of_a_loss_of_your_own(name: str, again: object) -> None:
    own = Loss(name, cost, np.subtract, "unit", "nonnegative", options=(("delta", 0.5),) * (name == "huber"))
    assert again(own) == own
    assert again(own) != get("huber")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "option"),
    [("huber", "delta"), ("quantile", "q"), ("cross_entropy", "label_smoothing"), ("focal", "gamma")],
)
def test_options_may_be_numbers_of_numpy(name: str, option: str, kind: type) -> None:
    loss = get({"name": name, option: kind(0.25)})
    assert loss.options == ((option, 0.25),)
    assert type(loss.options[0][1]) is float
    assert get(json.loads(json.dumps(registry.spec_of("loss", LOSSES, loss)))) is loss
    assert pickle.loads(pickle.dumps(loss)) is loss


def test_the_librarys_losses_take_complex_numbers_and_yours_only_when_you_say_so() -> None:
    assert all(loss.takes_complex for loss in EVERY)
    assert not get((cost, np.subtract)).takes_complex
    assert not Loss("squared_error", cost, np.subtract).takes_complex
    assert scaled(get("huber"), 0.5).takes_complex


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"domain": "units"},
            "unknown domain of a loss 'units': did you mean 'unit'.*Known: real, positive, unit, simpl",
        ),
        ({"domain": "nonnegative"}, "unknown domain of a loss 'nonnegative'"),
        ({"targets": "simplx"}, "unknown kind of targets 'simplx': did you mean 'simplex'"),
    ],
)
def test_misspelt_domains_and_targets_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        Loss("mine", cost, np.subtract, **options)


def test_a_pair_of_your_own() -> None:
    fourth = get((lambda a, y: (a - y) ** 4, lambda a, y: 4 * (a - y) ** 3))
    assert (fourth.name, fourth.domain, fourth.targets, fourth.matched) == ("custom", "real", "real", None)
    assert slope_error(fourth) < 1e-8
    assert get(fourth) is fourth
    with pytest.raises(GlassnetError, match="loss 'custom' is your own"):
        registry.spec_of("loss", LOSSES, fourth)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("squared_eror", r"unknown loss 'squared_eror': did you mean 'squared_error'\?"),
        ({"name": "huber", "q": 1.0}, r"loss 'huber' does not take \{'q': 1.0\}"),
        ({"name": "huber", "delta": 0.0}, "delta of huber must be positive, received 0.0"),
        ({"name": "huber", "delta": "wide"}, r"loss 'huber' does not take \{'delta': 'wide'\}"),
        ({"name": "quantile", "q": 1.0}, "q of quantile must be between 0 and 1, received 1.0"),
        ({"name": "quantile", "q": float("nan")}, "q of quantile must be between 0 and 1, received nan"),
        ({"name": "cross_entropy", "label_smoothing": 1}, r"label_smoothing must be in \[0, 1\), received 1"),
        ({"name": "focal", "gamma": -1}, "gamma of focal must be at least 0, received -1"),
        ((np.sin,), r"loss must be a name or a pair of functions \(value, slope\)"),
        (np.sin, "loss must be a name, a record or a pair of functions, received <ufunc 'sin'>"),
    ],
)
def test_refusals(spec: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        get(spec)


@pytest.mark.parametrize(
    ("name", "range_", "message"),
    [
        ("cross_entropy", "real", r"cross_entropy needs outputs that sum to 1: softmax .*; received 'tanh' \(real\)"),
        ("cross_entropy", "unit", "for sigmoid outputs take binary_cross_entropy"),
        ("binary_cross_entropy", "real", r"needs outputs in \[0, 1\]: sigmoid or softmax; received 'tanh'"),
        ("binary_cross_entropy", "positive", r"needs outputs in \[0, 1\]"),
        ("focal", "nonnegative", r"needs outputs in \[0, 1\]"),
        ("poisson", "real", "the loss poisson needs outputs positive: exp or softplus"),
        ("gamma", "nonnegative", "needs outputs positive"),
    ],
)
def test_output_outside_the_domain_is_refused(name: str, range_: str, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        get(name).check_output(range_, "tanh")


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("poisson", [1.0, -1.0], "Y must be nonnegative for the loss poisson, received values from -1 to 1"),
        ("gamma", [1.0, 0.0], "Y must be positive for the loss gamma, received values from 0 to 1"),
        ("binary_cross_entropy", [0.0, 2.0], r"Y must be in \[0, 1\] for the loss binary_cross_entropy"),
        ("focal", [-0.1, 1.0], r"Y must be in \[0, 1\]"),
        ("cross_entropy", [3.0, 0.0], r"Y must be in \[0, 1\] with rows that sum to 1 for the loss cross_entropy"),
        ("cross_entropy", [1.0, 1.0], "rows that sum to 1.*received a row that sums to 2. Several labels a row"),
        ("cross_entropy", [0.5, 0.0], "received a row that sums to 0.5"),
    ],
)
def test_targets_without_a_meaning_are_refused(name: str, row: list[float], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        get(name).check_targets(np.array([row]))


@every
def test_targets_with_a_meaning_pass(loss: Loss) -> None:
    loss.check_targets(targets(loss))
