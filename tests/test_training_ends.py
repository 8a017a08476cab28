"""training.py, second part: how a run ends, layers that behave otherwise in training, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet import SGD, Dense, Network, Objective
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord, Run
from glassnet.optimizers import RuleState

LINE = Network(1, [Dense(1)])
NET = Network(3, [Dense(4, "tanh"), Dense(2)])
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 2))
OBJECTIVE = Objective(NET, "squared_error", l2=0.01)
THETA = NET.init(rng=0)


def fit(theta: Array = THETA, x: Any = X, y: Any = Y, objective: Objective = OBJECTIVE, **options: Any) -> Run:
    return gn.train(objective, theta, x, y, **{"epochs": 4, "batch_size": 7, "optimizer": "adam", **options})


def same(one: Run, two: Run) -> bool:
    return np.array_equal(one.theta, two.theta) and np.array_equal(one.history["loss"], two.history["loss"])


# ---- how a run ends -----------------------------------------------------------------------------------------------


def steep(rate: float, dtype: type = np.float64, **options: Any) -> Run:
    x = np.linspace(-1, 1, 20)[:, None]
    options = {"batch_size": 5, "epochs": 2000, **options}
    return gn.train(Objective(LINE, "squared_error"), np.zeros(2, dtype), x, 3 * x + 1, optimizer=SGD(rate), **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [5, 20])
@pytest.mark.parametrize("rate", [6.0, 1e2, 1e10, 1e30])
def test_divergence_is_data(rate: float, batch_size: int, dtype: type) -> None:
    run = steep(rate, dtype, batch_size=batch_size)
    assert run.status == "diverged"
    assert f"epoch {len(run.history) + 1}: " in run.reason
    assert "Try a learning rate ten times smaller." in run.reason
    assert run.theta.dtype == dtype
    assert np.isfinite(run.theta).all()
    assert np.isfinite(run.history["loss"]).all() if len(run.history) else np.array_equal(run.theta, [0, 0])


@pytest.mark.parametrize("rate", [1e10, 1e200])
def test_theta_after_divergence_is_a_good_one(rate: float) -> None:
    run = steep(rate, batch_size=20)
    x = np.linspace(-1, 1, 20)[:, None]
    with np.errstate(over="ignore"):
        assert Objective(LINE, "squared_error").value(run.theta, x, 3 * x + 1) < 1e6


def test_divergence_with_validation_warns_of_nothing() -> None:
    assert steep(1e200, batch_size=20, validation=([[1.0]], [[1.0]])).status == "diverged"


def test_divergence_at_the_very_last_step_is_seen() -> None:
    """No batch follows that would see what the last step has done."""
    run = steep(1e10, batch_size=20, epochs=1)
    assert run.status == "diverged"
    np.testing.assert_array_equal(run.theta, [0, 0])


FALLING = Objective(Network(1, [Dense(1, bias=False)]), (lambda a, y: a, lambda a, y: np.ones_like(a)))
"""A loss that falls for ever: J = theta x."""


def test_a_negative_loss_that_falls_has_not_diverged() -> None:
    run = gn.train(FALLING, np.array([-10.0]), [[1.0]], [[0.0]], optimizer=SGD(1.0), epochs=3)
    assert run.status == "completed"
    assert list(run.history["loss"]) == [-10.0, -11.0, -12.0]


def test_a_negative_loss_that_has_grown_beyond_measure_has_diverged() -> None:
    rising = Objective(FALLING.net, (lambda a, y: a, lambda a, y: -np.ones_like(a)))
    run = gn.train(rising, np.array([-10.0]), [[1.0]], [[0.0]], optimizer=SGD(1e9), epochs=3)
    assert run.status == "diverged"
    assert run.theta == [-10.0]


BROKEN = Activation("broken", lambda z: np.where(np.abs(z) > 1e3, np.nan, z), lambda z, a: np.ones_like(z))


@pytest.mark.parametrize(
    ("objective", "place"),
    [
        (Objective(Network(1, [Dense(1, BROKEN), Dense(1)]), "squared_error"), "first in layer 1"),
        (Objective(Network(1, [Dense(1), Dense(1, BROKEN)]), "squared_error"), "first in layer 2"),
        (
            Objective(LINE, (lambda a, y: np.where(np.abs(a) > 1e3, np.nan, a), lambda a, y: 0.0 * a)),
            "first in the loss itself",
        ),
    ],
)
def test_nan_is_traced_to_its_layer(objective: Objective, place: str) -> None:
    x = np.ones((12, 1))
    x[8] = 1e4
    start = np.full(objective.net.n_parameters, 1.0)
    run = gn.train(objective, start, x, x, optimizer=SGD(1e-9), epochs=1, batch_size=3, sampling="sequential")
    assert run.status == "diverged"
    assert run.reason.startswith(f"epoch 1: the loss is nan in batch 3, {place}.")
    assert run.history.rows == ()
    np.testing.assert_array_equal(run.theta, start)


def test_an_interrupt_in_a_callback_keeps_theta() -> None:
    def interrupt(record: EpochRecord) -> None:
        if record.epoch == 3:
            raise KeyboardInterrupt

    run = fit(epochs=10, callbacks=[interrupt])
    assert run.status == "stopped"
    assert "interrupted" in run.reason
    assert same(run, fit(epochs=3))


def test_an_interrupt_in_the_middle_of_an_epoch_gives_the_epoch_before() -> None:
    calls = []

    def value(a: Array, y: Array) -> Array:
        calls.append(1)
        if len(calls) == 5 * 3 + 2:
            raise KeyboardInterrupt
        return (a - y) ** 2

    def slope(a: Array, y: Array) -> Array:
        return 2 * (a - y)

    objective = Objective(NET, (value, slope), engine="numpy")
    calls.clear()  # the objective has called its loss once
    run = fit(objective=objective, epochs=10)
    assert (run.status, run.reason) == ("stopped", "interrupted in epoch 4")
    assert same(run, fit(objective=Objective(NET, (lambda a, y: (a - y) ** 2, slope), engine="numpy"), epochs=3))


def test_ctrl_c_before_the_first_epoch_gives_the_start() -> None:
    calls = []

    def value(a: Array, y: Array) -> Array:
        calls.append(1)
        if len(calls) > 1:  # once when the objective is made
            raise KeyboardInterrupt
        return a - y

    run = fit(objective=Objective(NET, (value, lambda a, y: a - y)))
    assert run.status == "stopped"
    np.testing.assert_array_equal(run.theta, THETA)
    assert np.isnan(run.loss)


# ---- going on with what the rule remembers ------------------------------------------------------------------------


def test_the_state_of_the_rule_is_that_of_theta() -> None:
    """After an interrupt in epoch 4 the run stands after epoch 3, and goes on as if nothing had happened."""
    calls = []

    def value(a: Array, y: Array) -> Array:
        calls.append(1)
        if len(calls) == 5 * 3 + 2:
            raise KeyboardInterrupt
        return (a - y) ** 2

    objective = Objective(NET, (value, lambda a, y: 2 * (a - y)))
    calls.clear()
    options = {"objective": objective, "sampling": "sequential"}
    broken = fit(epochs=10, **options)
    assert (len(broken.history), broken.rule_state.t) == (3, 15)
    rest = fit(broken.theta, epochs=2, rule_state=broken.rule_state, **options)
    np.testing.assert_array_equal(rest.theta, fit(epochs=5, **options).theta)
    assert list(rest.history["updates"]) == [20, 25]


def test_after_divergence_the_rule_remembers_nothing() -> None:
    run = steep(6.0, batch_size=20)
    assert run.status == "diverged"
    assert run.rule_state is None  # the weights are those of an earlier epoch


def test_where_other_weights_come_back_the_rule_remembers_nothing() -> None:
    climbing = {"optimizer": SGD(0.5), "epochs": 20, "validation": (X, -Y)}
    assert fit(callbacks=[gn.EarlyStopping(2)], **climbing).rule_state is None
    assert fit(callbacks=[gn.EarlyStopping(2, restore_best=False)], **climbing).rule_state is not None


@pytest.mark.parametrize(
    "other",
    [
        fit(optimizer="nadam", epochs=1).rule_state,
        fit(optimizer=SGD(0.1, momentum=0.9), epochs=1).rule_state,
        gn.Adam().init(np.zeros(27)),
        RuleState(3),
        gn.Adam().init(THETA)._replace(rule="AdamW"),
    ],
    ids=["nadam", "momentum", "another network's", "none", "another name"],
)
def test_the_state_of_another_rule_is_refused(other: RuleState) -> None:
    with pytest.raises(GlassnetError, match="rule_state must be of this rule and network"):
        fit(rule_state=other)


# ---- the running average of the weights ---------------------------------------------------------------------------


def test_the_average_by_hand() -> None:
    """The slope 1 at rate 1 takes theta 1 down each step: -1, -2, -3; with decay 1/2 the mean is -1, -3/2, -9/4."""
    means: list[float] = []
    run = gn.train(
        FALLING, np.zeros(1), [[1.0]], [[0.0]], optimizer=SGD(1.0), epochs=3, batch_size=1, average=0.5,
        callbacks=[lambda record: means.append(float(record.theta[0]))],
    )  # fmt: skip
    assert means == [-1.0, -1.5, -2.25]
    assert run.theta == [-2.25]
    assert list(run.history["loss"]) == [0.0, -1.0, -2.0], "the loss is that of the theta that moves"


def test_the_average_is_what_validation_measures() -> None:
    run = fit(average=0.99, validation=(X, Y))
    J = Objective(NET, "squared_error").value(run.theta, X, Y)
    assert run.history["validation_loss"][-1] == pytest.approx(J)


# ---- layers that behave otherwise in training ---------------------------------------------------------------------

NORMED = Objective(Network(3, [gn.BatchNorm(0.5), Dense(2)]), "squared_error")


def test_batchnorm_statistics_are_carried_used_and_returned() -> None:
    """After n full batches with momentum 1/2 the mean is (1 - 2^-n) that of X; the variance has gone as far from 1."""
    start = NORMED.net.init(rng=0)
    run = fit(start, objective=NORMED, epochs=3, batch_size=30, validation=(X, Y))
    stats = NORMED.net.state_layout.views(run.state)
    np.testing.assert_allclose(stats["mean1"], 7 / 8 * X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["var1"], 1 / 8 + 7 / 8 * X.var(axis=0), rtol=1e-12)
    views = NORMED.net.views(run.theta)
    normed = (X - stats["mean1"]) / np.sqrt(stats["var1"] + 1e-6) * views["gamma1"] + views["beta1"]
    expected = ((normed @ views["W2"] + views["b2"] - Y) ** 2).sum(axis=1).mean() / 2
    assert run.history["validation_loss"][-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_batchnorm_goes_on_from_a_given_state(engine: str) -> None:
    """The engine is named, since "auto" may take one for two epochs and the other one for five."""
    options: dict[str, Any] = {"objective": NORMED, "optimizer": SGD(0.1), "sampling": "sequential", "engine": engine}
    whole = fit(NORMED.net.init(rng=0), epochs=5, **options)
    half = fit(NORMED.net.init(rng=0), epochs=2, **options)
    rest = fit(half.theta, state=half.state, epochs=3, **options)
    np.testing.assert_array_equal(rest.theta, whole.theta)
    np.testing.assert_array_equal(rest.state, whole.state)
    assert not np.array_equal(fit(half.theta, epochs=3, **options).state, whole.state)


@pytest.mark.parametrize(
    ("m", "options"),
    [
        (29, {"batch_size": 7}),
        (29, {"batch_size": 7, "sampling": "batches"}),
        (29, {"batch_size": 28, "sampling": "bootstrap"}),
        (30, {"batch_size": 1}),
        (30, {"batch_size": 1, "drop_last": True}),
        (1, {"batch_size": 32}),
    ],
)
def test_batches_of_one_row_are_refused_with_batchnorm(m: int, options: dict[str, Any]) -> None:
    start = NORMED.net.init(rng=0)
    with pytest.raises(GlassnetError, match=r"every batch must be of at least 2 rows.*drop_last"):
        fit(start, X[:m], Y[:m], NORMED, **options)
    fit(x=X[:m], y=Y[:m], **options)  # without BatchNorm one row is as good as many


def test_running_statistics_that_lag_behind_are_no_divergence() -> None:
    """After one epoch the running mean is still far from that of columns around a million: training itself is fine."""
    net = Network(3, [gn.BatchNorm(), Dense(2)])
    run = fit(net.init(rng=0), X + 1e6, Y, Objective(net, "squared_error"), epochs=1)
    assert run.status == "completed"


@pytest.mark.parametrize(
    ("m", "options"), [(29, {"drop_last": True}), (30, {}), (29, {"batch_size": 29}), (29, {"batch_size": 64})]
)
def test_batches_of_two_rows_and_more_train_a_batchnorm(m: int, options: dict[str, Any]) -> None:
    assert fit(NORMED.net.init(rng=0), X[:m], Y[:m], NORMED, **options).status == "completed"


def test_the_state_may_be_a_list() -> None:
    start, state = NORMED.net.init(rng=0), NORMED.net.init_state() + 0.5
    assert same(*(fit(start, objective=NORMED, state=s, validation=(X, Y)) for s in (state, state.tolist())))


def test_dropout_trains_and_is_measured_without_it() -> None:
    net = Network(3, [Dense(20, "tanh"), gn.Dropout(0.5), Dense(1)])
    objective, target = Objective(net, "squared_error"), X[:, :1] * 2.0
    start = net.init(rng=0)
    run = gn.train(
        objective, start, X, target, epochs=300, batch_size=10, optimizer=gn.Adam(0.01), validation=(X, target)
    )
    assert run.history["validation_loss"][-1] == pytest.approx(objective.value(run.theta, X, target))
    assert run.history["validation_loss"][-1] < objective.value(start, X, target) / 10
    assert run.history["loss"][-50:].mean() > 2 * run.history["validation_loss"][-50:].mean(), "training drops units"


# ---- what is refused, before any work -----------------------------------------------------------------------------

NAN_X = np.where(np.arange(90).reshape(30, 3) == 3 * 4, np.nan, X)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "batch_size 0": ({"batch_size": 0}, "batch_size must be at least 1, received 0"),
    "batch_size half": ({"batch_size": 2.5}, "batch_size must be a whole number"),
    "batch_size drop_last": ({"batch_size": 31, "drop_last": True}, "batch_size must be at most the 30 rows"),
    "epochs negative": ({"epochs": -1}, "epochs must be at least 1, received -1"),
    "epochs True": ({"epochs": True}, "epochs must be a whole number"),
    "theta too long": ({"theta": np.zeros(27)}, r"theta must be floats \(26,\), received float64 \(27,\)"),
    "theta stacked": ({"theta": np.zeros((1, 26))}, "theta must be floats"),
    "theta of integers": ({"theta": np.zeros(26, int)}, "theta must be floats"),
    "rows differ": ({"y": Y[:29]}, "X and Y must have equally many rows, received 30 and 29"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, "X must have at least one row"),
    "columns of X": ({"x": X[:, :2]}, r"X must be \(m, 3\), received \(30, 2\)"),
    "columns of Y": ({"y": Y[:, 0]}, r"Y must be \(m, 2\), received \(30,\)"),
    "NaN in X": ({"x": NAN_X}, r"X must be finite, received NaN or infinity \(first in row 4\)"),
    "infinity in Y": ({"y": np.full((30, 2), np.inf)}, "Y must be finite"),
    "text": ({"x": np.full((30, 3), "a")}, "X must be numbers"),
    "sampling": ({"sampling": "shufle"}, r"unknown sampling 'shufle': did you mean 'shuffle'\?"),
    "optimizer": ({"optimizer": "adm"}, r"unknown optimizer 'adm': did you mean 'adam'\?"),
    "optimizer class": ({"optimizer": SGD}, "optimizer must be a name or a rule"),
    "engine": ({"engine": "nunpy"}, r"unknown engine 'nunpy': did you mean 'numpy'\?"),
    "average": ({"average": 1.0}, "average must be a decay between 0 and 1, received 1.0"),
    "weights too few": ({"sample_weight": np.ones(29)}, r"sample_weight must be \(30,\), received \(29,\)"),
    "weights negative": ({"sample_weight": -np.ones(30)}, "sample_weight must be at least 0"),
    "weights all zero": ({"sample_weight": np.zeros(30)}, "sample_weight must be at least 0 with a positive sum"),
    "validation columns": ({"validation": (X[:, :2], Y)}, r"X must be \(m, 3\)"),
    "validation rows": ({"validation": (X, Y[:3])}, "equally many rows"),
    "validation weights": ({"validation": (X, Y, [1.0])}, "sample_weight must be"),
    "callbacks alone": ({"callbacks": gn.EarlyStopping()}, "callbacks must be a list"),
    "callback class": ({"callbacks": [gn.EarlyStopping]}, "each callback must be"),
}  # fmt: skip
UNSEEN: dict[str, tuple[dict[str, Any], str]] = {
    "three axes": ({"x": X[None], "y": Y[None]}, r"X and Y must be \(m, inputs\) and \(m, outputs\)"),
    "three axes of Y": ({"y": Y[None]}, r"received \(30, 3\) and \(1, 30, 2\)"),
    "three axes held out": ({"validation": (X[None], Y[None])}, r"received \(1, 30, 3\) and \(1, 30, 2\)"),
    "validation alone": ({"validation": (X,)}, "validation must be"),
    "state too long": ({"state": np.zeros(3)}, "state must be"),
    "theta with NaN": ({"theta": np.full(26, np.nan)}, "theta must be finite"),
    "metric": ({"metrics": {"a": 3}}, "metric"),
}


def refuse(options: dict[str, Any], message: str) -> None:
    """Demand the error, and that neither the network nor a callback was touched before it."""
    touched: list[str] = []
    spy = Activation("spy", lambda z: touched.append("network") or z, lambda z, a: np.ones_like(z))
    objective = Objective(Network(3, [Dense(4, spy), Dense(2)]), "squared_error")
    with pytest.raises(GlassnetError, match=message):
        fit(objective=objective, **{"callbacks": [lambda record: touched.append("callback")], **options})
    assert touched == []


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_that_do_not_fit_are_refused_before_any_work(case: str) -> None:
    refuse(*REFUSED[case])


@pytest.mark.parametrize("case", UNSEEN)
def test_arguments_that_ought_to_be_refused(case: str) -> None:
    refuse(*UNSEEN[case])


@pytest.mark.parametrize(
    "solve", [fit, lambda x=X, y=Y: gn.minimize(OBJECTIVE, THETA, x, y)], ids=["train", "minimize"]
)
@pytest.mark.parametrize("data", [{"x": X + 1j}, {"y": Y + 1j}], ids="".join)
def test_complex_data_are_refused(solve: Any, data: dict[str, Any]) -> None:
    with pytest.raises(GlassnetError, match="must be real"):
        solve(**data)


def test_refusing_nothing_and_refusing_late_are_seen() -> None:
    with pytest.raises(pytest.fail.Exception):
        refuse({}, ".")
    with pytest.raises(AssertionError, match="network"):
        refuse({"callbacks": [gn.EarlyStopping(monitor="validation_loss")]}, "unknown monitored number")


@pytest.mark.parametrize("rate", [-0.1, 0.0, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(rate: float) -> None:
    with pytest.raises(GlassnetError, match="learning_rate must be positive and finite"):
        fit(optimizer=SGD(rate))
