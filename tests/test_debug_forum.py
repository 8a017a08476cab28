"""Programs as they are posted in forums get the right answer in one call."""

from __future__ import annotations

import numpy as np

import forum_programs as forum
import glassnet as gn


def said(report: object) -> dict[str, str]:
    return {name: verdict.code for name, verdict in report.verdicts.items()}  # type: ignore[attr-defined]


def test_xor_network_whose_derivative_takes_a_and_is_given_z() -> None:
    rng = np.random.default_rng(1)
    X, y = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]), np.array([[0.0], [1], [1], [0]])
    report = gn.debug_gradients(forum.xor_network, [2 * rng.random((3, 4)) - 1, 2 * rng.random((4, 1)) - 1], X, y)
    assert said(report) == {"params[0]": "derivative_at_z", "params[1]": "right"}
    assert report.verdicts["params[0]"].mend == "delta1 = (delta2 @ params[1].T) * a1 * (1 - a1)"


def test_course_network_without_keepdims_and_without_one_over_m() -> None:
    rng = np.random.default_rng(2)
    params = {
        "W1": rng.normal(size=(4, 3)),
        "b1": np.zeros((4, 1)),
        "W2": rng.normal(size=(1, 4)),
        "b2": np.zeros((1, 1)),
    }
    X, Y = rng.normal(size=(3, 25)), (rng.random((1, 25)) < 0.5).astype(float)
    report = gn.debug_gradients(forum.forward_backward, params, X, Y)
    assert said(report) == {"W1": "right", "b1": "wrong_shape", "W2": "missing_1_over_m", "b2": "right"}
    assert report.verdicts["b1"].received == (4,)


def test_class_whose_softmax_is_differentiated_twice() -> None:
    rng = np.random.default_rng(3)
    net = forum.NeuralNetwork()
    X, y = rng.normal(size=(30, 6)), np.eye(4)[rng.integers(4, size=30)]
    report = gn.debug_gradients(net.loss_and_grads, [net.w1, net.b1, net.w2, net.b2], X, y)
    assert list(said(report).values()) == ["inherited", "inherited", "softmax_twice", "softmax_twice"]
    assert report.begins.startswith("It begins in layer 2 of 2")
    assert report.verdicts["params[2]"].mend == "delta2 = (a2 - y) / m"


def test_linear_regression_divided_by_the_size_of_other_data() -> None:
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    pair = (lambda p, X, y: forum.linear_cost(*p, X, y)), (lambda p, X, y: forum.linear_gradient(*p, X, y))
    report = gn.debug_gradients(pair, (np.zeros(3), 0.0), X, y)
    assert said(report) == {"params[0]": "fixed_m", "params[1]": "fixed_m"}


def test_targets_that_broadcast_with_outputs() -> None:
    rng = np.random.default_rng(5)
    params = {"W1": rng.normal(size=(3, 5)), "b1": np.zeros(5), "W2": rng.normal(size=(5, 1)), "b2": np.zeros(1)}
    X, y = rng.normal(size=(18, 3)), rng.normal(size=18)
    report = gn.debug_gradients(forum.house_prices, params, X, y)
    assert [problem.code for problem in report.problems] == ["unpaired"]
    assert not report.ok
    assert all(verdict.ok for verdict in report.verdicts.values())  # of the wrong loss, they are the right gradients
    mended = gn.debug_gradients(forum.house_prices, params, X, y[:, None])
    assert mended.ok


def test_step_that_returns_new_weights() -> None:
    rng = np.random.default_rng(6)
    params = [rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(5, 2)), rng.normal(size=2)]
    report = gn.debug_gradients(forum.train_step, params, rng.normal(size=(12, 3)), rng.normal(size=(12, 2)))
    assert set(said(report).values()) == {"updated_params"}
