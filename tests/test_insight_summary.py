"""The tables of a network and of what flows through it: numbers by hand, planted faults that must be seen."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from glassnet import BatchNorm, Dense, Dropout, GlassnetError, LayerNorm, Network, Objective
from glassnet.insight.summary import layer_statistics, layer_table, target_table


def test_layer_table_counts_by_hand() -> None:
    net = Network(
        5, [Dense(4, "tanh"), Dropout(0.2), BatchNorm(), LayerNorm(), Dense(3, bias=False), Dense(2, "softmax")]
    )
    rows = layer_table(net)
    assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.kind for row in rows] == ["Dense", "Dropout", "BatchNorm", "LayerNorm", "Dense", "Dense"]
    assert [row.units for row in rows] == [4, 4, 4, 4, 3, 2]
    assert [row.weights for row in rows] == [
        "W 5×4, b 4",
        "",
        "gamma 4, beta 4",
        "gamma 4, beta 4",
        "W 4×3",
        "W 3×2, b 2",
    ]
    assert [row.flop for row in rows] == [2 * 5 * 4 + 4, 0, 4 * 4, 8 * 4, 2 * 4 * 3, 2 * 3 * 2 + 2]
    assert sum(row.parameters for row in rows) == net.n_parameters
    assert (rows[0].activation, rows[5].activation) == ("tanh", "softmax")


def problem(*layers: object, rows: int = 40, loss: str = "squared_error", l2: float = 0.0) -> tuple:
    rng = np.random.default_rng(0)
    net = Network(3, list(layers))
    theta = net.init(1) + 0.1 * rng.normal(size=net.n_parameters)
    X, Y = rng.normal(size=(rows, 3)), rng.random((rows, net.n_outputs))
    return Objective(net, loss, l2=l2), theta, X, Y


def test_forward_numbers_are_those_of_numpy() -> None:
    objective, theta, X, Y = problem(Dense(6, "tanh"), Dense(2))
    first, last = layer_statistics(objective, theta, X, Y)
    p = objective.net.views(theta)
    z = X @ p["W1"] + p["b1"]
    a = np.tanh(z)
    assert [first.z_mean, first.z_std, first.a_mean, first.a_std] == pytest.approx(
        [z.mean(), z.std(), a.mean(), a.std()], rel=1e-12
    )
    assert last.z_mean == pytest.approx((a @ p["W2"] + p["b2"]).mean(), rel=1e-12)
    counts, edges = np.histogram(a, bins=len(first.counts))
    assert first.counts == tuple(counts)
    assert first.edges == pytest.approx(edges)
    assert (first.number, first.kind, first.units, first.activation) == (1, "Dense", 6, "tanh")


def test_deltas_are_the_slope_of_the_objective_in_the_pre_activations() -> None:
    """A bias shifts z of one unit on all rows: with one row, dJ/db is dJ/dz, here by central differences of J."""
    objective, theta, X, Y = problem(Dense(4, "sigmoid"), LayerNorm(), Dense(5, "softplus"), Dense(2), rows=1)
    found = layer_statistics(objective, theta, X, Y)
    parts, h = objective.net.layout.slices, 1e-5
    for name, l in (("b1", 1), ("beta2", 2), ("b3", 3), ("b4", 4)):
        slope = []
        for i in range(parts[name].start, parts[name].stop):
            e = np.zeros_like(theta)
            e[i] = h
            slope.append((objective.value(theta + e, X, Y) - objective.value(theta - e, X, Y)) / (2 * h))
        assert found[l - 1].delta_rms == pytest.approx(np.sqrt(np.mean(np.square(slope))), rel=1e-6)


def test_gradient_size_includes_the_penalty_and_needs_weights() -> None:
    objective, theta, X, Y = problem(Dense(4, "tanh"), Dropout(0.5), BatchNorm(), Dense(2), l2=0.3)
    found = layer_statistics(objective, theta, X, Y)
    grad = objective.net.views(objective.value_and_grad(theta, X, Y)[1])
    assert found[0].gradient_rms == pytest.approx(np.sqrt(np.mean(grad["W1"] ** 2)), rel=1e-12)
    assert found[3].gradient_rms == pytest.approx(np.sqrt(np.mean(grad["W4"] ** 2)), rel=1e-12)
    assert found[1].gradient_rms is None
    assert found[2].gradient_rms is None


def test_planted_dead_unit_is_seen() -> None:
    objective, theta, X, Y = problem(Dense(5, "relu"), Dense(2))
    assert layer_statistics(objective, theta, X, Y)[0].dead == 0.0
    objective.net.views(theta)["b1"][[1, 3]] = -1e3
    assert layer_statistics(objective, theta, X, Y)[0].dead == 0.4


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_planted_saturation_is_seen(activation: str) -> None:
    objective, theta, X, Y = problem(Dense(4, activation), Dense(2))
    p = objective.net.views(theta)
    p["W1"][:] *= 0.1
    assert layer_statistics(objective, theta, X, Y)[0].saturated == 0.0
    p["b1"][[0, 2]] = -20.0, 20.0
    first, last = layer_statistics(objective, theta, X, Y)
    assert first.saturated == 0.5
    assert last.saturated is None


def test_running_statistics_are_used() -> None:
    objective, theta, X, Y = problem(BatchNorm(), Dense(2))
    state = np.concatenate([X.mean(0), X.var(0)])
    objective.net.views(theta)["gamma1"][:], objective.net.views(theta)["beta1"][:] = 1.0, 0.0
    normed = layer_statistics(objective, theta, X, Y, state)[0]
    assert (normed.a_mean, normed.a_std) == pytest.approx((0.0, 1.0), abs=1e-5)


@pytest.mark.parametrize("bias", [0.0, 1.0, 1e9])
def test_activations_of_one_value_have_a_histogram(bias: float) -> None:
    objective, theta, X, Y = problem(Dense(2))
    p = objective.net.views(theta)
    p["W1"][:], p["b1"][:] = 0.0, bias
    p["b1"][1] *= 1 + 2e-16
    assert sum(layer_statistics(objective, theta, X, Y)[0].counts) == X.shape[0] * 2


def test_wrong_shapes_are_refused() -> None:
    objective, theta, X, Y = problem(Dense(2))
    with pytest.raises(GlassnetError, match=r"theta must be \(8,\), received \(2, 8\)"):
        layer_statistics(objective, np.stack([theta, theta]), X, Y)
    with pytest.raises(GlassnetError, match="X must be"):
        layer_statistics(objective, theta, X[:, :2], Y)
    with pytest.raises(GlassnetError, match="X must be"):
        layer_statistics(objective, theta, X[None], Y[None])


def test_target_table_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    true, predicted = rng.normal(size=(2, 50, 2))
    rows = target_table(true, predicted, ["a", "b"])
    for j, row in enumerate(rows):
        y, p = true[:, j], predicted[:, j]
        expected = r2_score(y, p), root_mean_squared_error(y, p), mean_absolute_error(y, p)
        assert (row.r2, row.rmse, row.mae) == pytest.approx(expected, rel=1e-12)
    assert [row.name for row in rows] == ["a", "b"]
    assert [row.name for row in target_table(true, predicted)] == ["target 1", "target 2"]
    assert np.isnan(target_table([2.0, 2.0], [1.0, 2.0])[0].r2)


def test_target_table_refuses_what_does_not_fit() -> None:
    with pytest.raises(GlassnetError, match="y_true and y_pred must be both"):
        target_table([1.0, 2.0], [[1.0], [2.0]])
    with pytest.raises(GlassnetError, match="names must be 1"):
        target_table([1.0], [1.0], ["a", "b"])
