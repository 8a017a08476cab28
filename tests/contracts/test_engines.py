"""The contract table of the engines: what the compiled engine runs, it runs as the reference does.

Both train from the same start on the same rows; theta, BatchNorm's state, what the rule remembers and every column of
the history must agree to 1e-12 in float64 and 1e-5 in float32, relative to the largest number of each array. The tables
of the library drive the tests: a new activation, loss, layer, rule, schedule or sampling enters by itself, or fails.

The tolerance is never loosened. Two things amplify rounding until it passes any bound, and are kept out: a rule that
divides by the size of the gradient (Adam and its kin) where a gradient is zero but for rounding (the bias of a Dense
layer in front of a BatchNorm, which takes the mean away again), and many steps of a net that is far from converged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine_runs import BOUNDS, Case, agree, allowed, case, check, compiled, distances, fallen_back, small
from glassnet import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchNorm,
    ClipNorm,
    Dense,
    Dropout,
    LayerNorm,
    NAdam,
    RMSProp,
    losses,
    schedules,
)  # fmt: skip
from glassnet import activations as acts
from glassnet.activations import ACTIVATIONS, Activation
from glassnet.layers import LAYERS
from glassnet.losses import LOSSES
from glassnet.optimizers import RULES
from glassnet.sampling import SAMPLINGS

ACTIVATION_OPTIONS = [{"name": "leaky_relu", "slope": 0.2}, {"name": "elu", "alpha": 0.7}]
LOSS_OPTIONS = [
    {"name": "huber", "delta": 0.4},
    {"name": "quantile", "q": 0.8},
    {"name": "cross_entropy", "label_smoothing": 0.2},
    {"name": "binary_cross_entropy", "label_smoothing": 0.2},
    {"name": "focal", "gamma": 0.5},
    {"name": "focal", "gamma": 0.0},
]
FUNCTIONS = [*ACTIVATIONS, *ACTIVATION_OPTIONS]
WITH_OPTIONS = {"leaky_relu", "elu", "huber", "quantile", "cross_entropy", "binary_cross_entropy", "focal"}
ENDS = [(out, loss) for out in FUNCTIONS for loss in [*LOSSES, *LOSS_OPTIONS] if allowed(acts.get(out), loss)]


def weighted(m: int = 41) -> np.ndarray:
    weights = np.random.default_rng(5).random(m) + 0.2
    weights[3] = 0.0
    return weights


# ---- activations and losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", FUNCTIONS, ids=str)
def test_every_hidden_activation(hidden: Any) -> None:
    """In small steps: exp is steep."""
    rule = SGD(1e-3, momentum=0.9)
    agree(small(hidden), optimizer=rule)
    agree(case([Dense(12, "tanh", bias=False), Dense(7, hidden), Dense(4)]), optimizer=rule)
    agree(case([Dense(12, hidden), Dense(3, "softmax")], "cross_entropy"), optimizer=rule)


@pytest.mark.parametrize(("output", "loss"), ENDS, ids=str)
def test_every_output_and_loss(output: Any, loss: Any) -> None:
    ended = small("tanh", output, loss, l2=0.01)
    agree(ended)
    agree(ended.but(sample_weight=weighted()))


def test_the_table_is_full() -> None:
    assert len(ENDS) > 75
    assert {out if isinstance(out, str) else out["name"] for out, _ in ENDS} == set(ACTIVATIONS)
    assert {loss for _, loss in ENDS if isinstance(loss, str)} == set(LOSSES)
    named = {spec["name"] for spec in [*ACTIVATION_OPTIONS, *LOSS_OPTIONS]}
    assert named == WITH_OPTIONS


BY_SLOPE = [*LOSSES, *(spec for spec in LOSS_OPTIONS if spec["name"] != "cross_entropy")]


@pytest.mark.parametrize("loss", BY_SLOPE, ids=str)
def test_every_loss_through_softmax_outputs(loss: Any) -> None:
    """A softmax under another name is matched to nothing: the slope goes through its Jacobian."""
    own = replace(acts.get("softmax"), name="shares")
    ended = case([Dense(7, "tanh"), Dense(3, own)], loss, l2=0.01)
    assert ended.objective.matched is None
    agree(ended)
    agree(ended.but(sample_weight=weighted()))


def test_smoothed_labels_see_a_row_and_fall_back_without_their_softmax() -> None:
    own = replace(acts.get("softmax"), name="shares")
    smoothed = case([Dense(7, "tanh"), Dense(3, own)], {"name": "cross_entropy", "label_smoothing": 0.2})
    check(fallen_back(smoothed), smoothed.run("numpy"), 0.0)


@pytest.mark.parametrize("factor", [0.25, -1.0, 3.0])
@pytest.mark.parametrize(
    ("output", "name"),
    [("identity", "squared_error"), ("softmax", "cross_entropy"), ("softmax", "huber"), ("sigmoid", "focal")],
)
def test_a_loss_times_a_number(output: str, name: str, factor: float) -> None:
    agree(small("tanh", output, losses.scaled(losses.get(name), factor)), epochs=2)


def test_a_smoothed_and_scaled_cross_entropy() -> None:
    smoothed = losses.get({"name": "cross_entropy", "label_smoothing": 0.3})
    agree(small("tanh", "softmax", losses.scaled(losses.scaled(smoothed, 0.5), 3.0)).but(sample_weight=weighted()))


@pytest.mark.parametrize("k", [1, 2, 3, 10, 33])
def test_outputs_of_any_width(k: int) -> None:
    agree(case([Dense(7, "tanh"), Dense(k)], l1=0.01))
    if k > 1:
        for loss in ("cross_entropy", "squared_error"):
            agree(case([Dense(7, "tanh"), Dense(k, "softmax")], loss))


# ---- layers -------------------------------------------------------------------------------------------------------

VARIANTS: dict[str, list[Any]] = {
    "Dense": [Dense(6, "tanh"), Dense(6, "softplus", bias=False), Dense(6), Dense(6, "softmax"), Dense(1, "silu")],
    "Dropout": [Dropout(0.4), Dropout(0.0)],
    "BatchNorm": [BatchNorm(), BatchNorm(0.5, 1e-3)],
    "LayerNorm": [LayerNorm(), LayerNorm(1e-2)],
}
EACH = [layer for layers in VARIANTS.values() for layer in layers]
ENDINGS: dict[str, tuple[list[Any], str]] = {
    "regression": ([Dense(3)], "squared_error"),
    "classes": ([Dense(3, "softmax")], "cross_entropy"),
    "shares": ([Dense(3, "softmax")], "squared_error"),
    "labels": ([Dense(3, "sigmoid")], "binary_cross_entropy"),
}


def test_every_layer_has_a_row() -> None:
    assert set(VARIANTS) == set(LAYERS)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("layer", EACH, ids=str)
def test_every_layer_in_every_place(layer: Any, ending: str) -> None:
    end, loss = ENDINGS[ending]
    agree(case([layer, *end], loss))
    agree(case([layer, Dense(7, "tanh"), *end], loss))
    agree(case([Dense(7, "tanh"), layer, *end], loss).but(sample_weight=weighted()))
    agree(case([layer, layer, Dense(7), layer, layer, *end], loss))


@pytest.mark.parametrize("layer", EACH, ids=str)
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_every_layer_at_the_end(layer: Any, loss: str) -> None:
    agree(case([layer], loss))
    agree(case([Dense(7, "tanh"), layer], loss))
    agree(case([Dense(7, "tanh"), layer, layer], loss).but(sample_weight=weighted()))


@pytest.mark.parametrize("second", EACH, ids=str)
@pytest.mark.parametrize("first", EACH, ids=str)
def test_every_layer_after_every_other(first: Any, second: Any) -> None:
    agree(case([Dense(7, "tanh"), first, second, Dense(3, "softmax")], "cross_entropy"), epochs=2)


def test_a_deep_stack_of_all() -> None:
    block = [Dense(8, "gelu", bias=False), BatchNorm(0.9), Dropout(0.1), Dense(11, "softmax"), LayerNorm()]
    agree(case([BatchNorm(), *block, *block, Dense(3, "softmax")], "cross_entropy", l1=1e-3, l2=1e-2))


def test_a_row_of_one_unit() -> None:
    for layer in (Dropout(0.5), BatchNorm(), LayerNorm()):
        agree(case([Dense(1, "tanh"), layer, Dense(1)], d=1))


def test_the_state_of_a_batchnorm_goes_on() -> None:
    normed = case([BatchNorm(0.9), Dense(6, "tanh"), BatchNorm(0.7), Dense(3)])
    state = normed.objective.net.init_state() + 0.25
    agree(normed, state=state)
    assert distances(compiled(normed, state=state), compiled(normed))["state"] > 1e-3


# ---- rules, rates, penalties --------------------------------------------------------------------------------------

RULE_VARIANTS: dict[str, list[Any]] = {
    "sgd": [SGD(0.1), SGD(0.05, momentum=0.9), SGD(0.05, momentum=0.8, nesterov=True)],
    "adagrad": [AdaGrad(), AdaGrad(0.02, eps=1e-3)],
    "rmsprop": [RMSProp(), RMSProp(0.01, rho=0.5, eps=1e-4)],
    "adam": [Adam(), Adam(0.01, beta1=0.5, beta2=0.9, eps=1e-5), Adam(beta1=0.0)],
    "adamw": [AdamW(), AdamW(0.01, weight_decay=0.3, beta1=0.8)],
    "nadam": [NAdam(), NAdam(0.01, beta1=0.7, decay=0.1), NAdam(beta1=0.0)],
}
EVERY_RULE = [rule for rules in RULE_VARIANTS.values() for rule in rules]
PENALTIES = [{}, {"l2": 0.1}, {"l1": 0.03}, {"l1": 0.03, "l2": 0.1}]
SMOOTH = [Dense(13, "tanh"), LayerNorm(), Dense(4)]


def test_every_rule_has_a_row() -> None:
    assert set(RULE_VARIANTS) == set(RULES)
    assert all(type(rule) is RULES[name] for name, rules in RULE_VARIANTS.items() for rule in rules)


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("rule", EVERY_RULE, ids=str)
def test_every_rule_with_every_penalty(rule: Any, penalty: dict[str, float]) -> None:
    agree(case(SMOOTH, **penalty), optimizer=rule)


@pytest.mark.parametrize("max_norm", [1e-3, 0.5, 1e6])
@pytest.mark.parametrize("rule", EVERY_RULE, ids=str)
def test_every_rule_with_clipped_gradients(rule: Any, max_norm: float) -> None:
    agree(case([Dense(13, "tanh"), Dropout(0.2), LayerNorm(), Dense(4)], l2=0.01), optimizer=ClipNorm(rule, max_norm))


@pytest.mark.parametrize("rule", EVERY_RULE, ids=str)
def test_every_rule_with_the_average_of_the_weights(rule: Any) -> None:
    agree(case(SMOOTH, l2=0.01), optimizer=rule, average=0.9)
    agree(case(SMOOTH), optimizer=ClipNorm(rule, 0.5), average=0.5, sample_weight=weighted())


RATES: dict[str, Any] = {
    "Constant": schedules.Constant(0.05),
    "Cosine": schedules.Cosine(0.1, 5),
    "Exponential": schedules.Exponential(0.1, 0.9, every=2),
    "InverseScaling": schedules.InverseScaling(0.1),
    "OneCycle": schedules.OneCycle(0.1, 9),
    "Piecewise": schedules.Piecewise((2, 5), (0.1, 0.01, 0.05)),
    "WarmUp": schedules.WarmUp(4, schedules.Exponential(0.1, 0.5)),
}


def test_every_schedule_has_a_row() -> None:
    assert set(RATES) == set(schedules.__all__) - {"Schedule", "as_schedule"}


@pytest.mark.parametrize("rate", [*RATES.values(), lambda t: 0.1 / (t + 1)], ids=[*RATES, "own"])
@pytest.mark.parametrize("rule", [SGD, AdamW, NAdam])
def test_every_schedule(rule: Any, rate: Any) -> None:
    agree(small(), optimizer=rule(rate))
    agree(small(), optimizer=ClipNorm(rule(rate), 0.5))


# ---- rows and batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 40, 41, 1000])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_sampling_and_batch_size(sampling: Any, batch_size: int) -> None:
    drawn = case([Dense(6, "tanh"), Dropout(0.3), Dense(3, "softmax")], "cross_entropy", l2=0.01)
    options = {"sampling": sampling, "batch_size": batch_size, "optimizer": SGD(0.05), "average": 0.9}
    if sampling == "batches" and batch_size > 41:
        batch_size = options["batch_size"] = 41
    cut = [False] if batch_size > 41 else [False, True]
    for drop_last in cut:
        agree(drawn, drop_last=drop_last, **options)
        agree(drawn, drop_last=drop_last, sample_weight=weighted(), **options)


@pytest.mark.parametrize("m", [1, 2, 3, 17])
def test_few_rows(m: int) -> None:
    for batch_size in {1, 2, m}:
        agree(case([Dense(3, "tanh"), LayerNorm(), Dense(2)], m=m), batch_size=batch_size)


@pytest.mark.parametrize("d", [1, 2, 31])
def test_inputs_of_any_width(d: int) -> None:
    agree(case([Dense(5, "relu"), Dense(2)], d=d))
    agree(case([Dense(1)], d=d))


# ---- drawn --------------------------------------------------------------------------------------------------------


@st.composite
def drawn(draw: st.DrawFn) -> Case:
    """Any small network on any rows. With BatchNorm the rule is one that does not divide by a gradient of rounding."""
    layers: list[Any] = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([name for name in ACTIVATIONS if name != "exp"]))  # exp of exp: too steep
        layers.append(Dense(draw(st.integers(1, 20)), name, bias=draw(st.booleans())))
        layers += draw(st.sampled_from([[], [Dropout(0.3)], [BatchNorm(0.9)], [LayerNorm()]]))
    output, loss = draw(st.sampled_from([(out, loss) for out, loss in ENDS if out != "exp"]))
    k = draw(st.integers(2, 9))
    m, d = draw(st.integers(2, 40)), draw(st.integers(1, 15))
    made = case([*layers, Dense(k, output)], loss, m=m, d=d, seed=draw(st.integers(0, 999)))
    made = replace(made, objective=replace(made.objective, l2=draw(st.sampled_from([0.0, 0.1])), l1=0.0))
    rules = [SGD(1e-3), SGD(1e-3, momentum=0.5), ClipNorm(SGD(1e-3), 0.1)]
    if not any(isinstance(layer, BatchNorm) for layer in layers):
        rules += [Adam(1e-4, eps=1e-3), NAdam(1e-4, eps=1e-3), AdamW(1e-4, eps=1e-3), RMSProp(1e-4, eps=1e-3)]
    batch_size = draw(st.integers(2, m + 3))
    return made.but(
        optimizer=draw(st.sampled_from(rules)), batch_size=batch_size, drop_last=batch_size <= m,
        average=draw(st.sampled_from([None, 0.9])), sampling=draw(st.sampled_from(["shuffle", "sequential"])),
        sample_weight=draw(st.sampled_from([None, np.arange(1.0, m + 1)])), epochs=2,
    )  # fmt: skip


@settings(max_examples=150)
@given(one=drawn())
def test_drawn_networks(one: Case) -> None:
    """Where variances are almost nothing, norms multiply rounding by a thousand: 1e-10 leaves them room."""
    theirs = one.run("numpy")
    assume(theirs.status == "completed")
    check(compiled(one), theirs, 1e-10)


# ---- planted faults -----------------------------------------------------------------------------------------------


def seen(right: Case, wrong: Case, dtype: type, **options: Any) -> bool:
    """Whether the table would fail if the compiled engine ran `wrong` where the reference runs `right`."""
    try:
        check(compiled(wrong, dtype, **options), right.run("numpy", dtype, **options), BOUNDS[dtype])
    except AssertionError:
        return True
    return False


WRONG_SLOPE = Activation("tanh", lambda z: np.tanh(z), lambda z, a: 1.001 * (1.0 - a * a))
HUBER = losses.get("huber").slope
WRONG_DELTA = replace(losses.get("huber"), slope=lambda a, y: 1.001 * HUBER(a, y))
FAULTS: dict[str, tuple[Case, Case]] = {
    "derivative of a hidden layer": (small(), small(WRONG_SLOPE)),
    "derivative of the output": (small("tanh", "tanh", "huber"), small("tanh", WRONG_SLOPE, "huber")),
    "slope of the loss": (small(loss="huber"), small(loss=WRONG_DELTA)),
    "label smoothing": (
        small("tanh", "softmax", "cross_entropy"),
        small("tanh", "softmax", {"name": "cross_entropy", "label_smoothing": 1e-3}),
    ),
    "l1": (small(l1=0.1), small(l1=0.1001)),
    "l2": (small(l2=0.1), small(l2=0.1001)),
    "eps of LayerNorm": (case([LayerNorm(), Dense(4)]), case([LayerNorm(1.1e-3), Dense(4)])),
    "momentum of BatchNorm": (case([BatchNorm(0.9), Dense(4)]), case([BatchNorm(0.901), Dense(4)])),
    "rate of Dropout": (case([Dropout(0.2), Dense(4)]), case([Dropout(0.2001), Dense(4)])),
    "order of the rows": (small(), small().but(rng=4)),
    "learning rate": (small(), small().but(optimizer=SGD(0.01 * 1.001, momentum=0.9))),
    "another rule of the same slots": (small(), small().but(optimizer=SGD(0.01, momentum=0.9, nesterov=True))),
    "average": (small().but(average=0.9), small().but(average=0.901)),
    "weights": (small().but(sample_weight=weighted()), small()),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_planted_fault_is_seen(fault: str, dtype: type) -> None:
    right, wrong = FAULTS[fault]
    assert not seen(right, right, dtype)
    assert seen(right, wrong, dtype)


def test_a_run_that_fell_back_is_seen() -> None:
    rowwise = (lambda z: z - z.mean(axis=-1, keepdims=True), lambda z, a: np.ones_like(z))
    drawn = case([Dense(3, rowwise), Dense(2)])
    with pytest.raises(AssertionError, match="fallen back"):
        agree(drawn)
    with pytest.raises(AssertionError, match="itself"):
        fallen_back(small())
