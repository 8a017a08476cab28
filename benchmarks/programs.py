"""Backpropagation as people write it by hand: six right programs, each in a style of its own. `planted` spoils them.

None of them knows glassnet: they are the witness that `gn.debug_gradients` is measured on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["PROGRAMS", "sigmoid"]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def sigmoid_net(p: Any, X: Any, y: Any, lam: float) -> Any:
    """One hidden sigmoid layer, half squared error; a dictionary, samples in rows."""
    m = len(X)
    z1 = X @ p["W1"] + p["b1"]
    a1 = sigmoid(z1)
    z2 = a1 @ p["W2"] + p["b2"]
    a2 = sigmoid(z2)
    loss = np.sum((a2 - y) ** 2) / (2 * m) + lam / 2 * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = (d2 @ p["W2"].T) * a1 * (1 - a1)
    grads = {}
    grads["W2"] = a1.T @ d2 / m + lam * p["W2"]
    grads["b2"] = d2.sum(axis=0) / m
    grads["W1"] = X.T @ d1 / m + lam * p["W1"]
    grads["b1"] = d1.sum(axis=0) / m
    return loss, grads


def relu_softmax(params: Any, X: Any, Y: Any, lam: float) -> Any:
    """Two hidden ReLU layers and softmax; a list, samples in columns, weights (n_out, n_in)."""
    W1, b1, W2, b2, W3, b3 = params
    m = X.shape[1]
    Z1 = W1 @ X + b1
    A1 = np.maximum(0, Z1)
    Z2 = W2 @ A1 + b2
    A2 = np.maximum(0, Z2)
    Z3 = W3 @ A2 + b3
    E = np.exp(Z3 - Z3.max(axis=0))
    P = E / E.sum(axis=0)
    cost = -np.sum(Y * np.log(P)) / m + lam / (2 * m) * (np.sum(W1**2) + np.sum(W2**2) + np.sum(W3**2))
    dZ3 = P - Y
    dW3 = dZ3 @ A2.T / m + lam / m * W3
    db3 = np.sum(dZ3, axis=1, keepdims=True) / m
    dZ2 = (W3.T @ dZ3) * (Z2 > 0)
    dW2 = dZ2 @ A1.T / m + lam / m * W2
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = (W2.T @ dZ2) * (Z1 > 0)
    dW1 = dZ1 @ X.T / m + lam / m * W1
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return cost, [dW1, db1, dW2, db2, dW3, db3]


def tanh_net(p: Any, X: Any, y: Any, lam: float) -> Any:
    """Regression with tanh; the loss is a mean over samples and outputs, without 1/2."""
    s = X.dot(p["w1"]) + p["c1"]
    h = np.tanh(s)
    out = h.dot(p["w2"]) + p["c2"]
    err = out - y
    loss = np.mean(err**2) + lam * ((p["w1"] ** 2).sum() + (p["w2"] ** 2).sum())
    dout = 2 * err / err.size
    dw2 = h.T.dot(dout) + 2 * lam * p["w2"]
    dc2 = dout.sum(axis=0)
    ds = dout.dot(p["w2"].T) * (1 - h**2)
    dw1 = X.T.dot(ds) + 2 * lam * p["w1"]
    dc1 = ds.sum(axis=0)
    return loss, {"w1": dw1, "c1": dc1, "w2": dw2, "c2": dc2}


def looping(model: Any, xs: Any, targets: Any, lam: float) -> Any:
    """Sigmoid and softmax, one sample after the other, gradients added up; the loss is a sum."""
    W1, b1, W2, b2 = model["W1"], model["b1"], model["W2"], model["b2"]
    loss = 0.5 * lam * ((W1 * W1).sum() + (W2 * W2).sum())
    gW1, gb1, gW2, gb2 = lam * W1, np.zeros_like(b1), lam * W2, np.zeros_like(b2)
    for x, t in zip(xs, targets, strict=True):
        z = W1 @ x + b1
        h = sigmoid(z)
        scores = W2 @ h + b2
        e = np.exp(scores - scores.max())
        probs = e / e.sum()
        loss -= np.log(probs) @ t
        delta2 = probs - t
        delta1 = (W2.T @ delta2) * h * (1 - h)
        gW2 += np.outer(delta2, h)
        gb2 += delta2
        gW1 += np.outer(delta1, x)
        gb1 += delta1
    return loss, {"W1": gW1, "b1": gb1, "W2": gW2, "b2": gb2}


def flat_tanh(theta: Any, X: Any, labels: Any, lam: float) -> Any:
    """One vector, unrolled as for an optimizer; tanh and softmax with labels from 0; columns of ones for the biases."""
    n, k, m = X.shape[1], labels.max() + 1, len(X)
    q = (theta.size - k) // (n + 1 + k)
    T1 = theta[: (n + 1) * q].reshape(n + 1, q)
    T2 = theta[(n + 1) * q :].reshape(q + 1, k)
    X1 = np.hstack([np.ones((m, 1)), X])
    z = X1 @ T1
    a = np.tanh(z)
    A1 = np.hstack([np.ones((m, 1)), a])
    scores = A1 @ T2
    scores = scores - scores.max(axis=1, keepdims=True)
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(probs[np.arange(m), labels]).mean() + 0.5 * lam * ((T1[1:] ** 2).sum() + (T2[1:] ** 2).sum())
    Y = np.eye(k)[labels]
    D2 = (probs - Y) / m
    D1 = (D2 @ T2[1:].T) * (1 - a**2)
    G2 = A1.T @ D2
    G2[1:] += lam * T2[1:]
    G1 = X1.T @ D1
    G1[1:] += lam * T1[1:]
    return loss, np.concatenate([G1.ravel(), G2.ravel()])


def deep_sigmoid(params: Any, x: Any, y: Any, lam: float) -> Any:
    """Three layers of sigmoids with binary cross-entropy; lists of weights and biases, samples in columns."""
    ws, bs = params["weights"], params["biases"]
    m = x.shape[1]
    activation, activations, zs = x, [x], []
    for w, b in zip(ws, bs, strict=True):
        z = np.dot(w, activation) + b
        zs.append(z)
        activation = sigmoid(z)
        activations.append(activation)
    a = activations[-1]
    cost = -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)) / m
    cost += lam / (2 * m) * sum((w**2).sum() for w in ws)
    nabla_w = [np.zeros(w.shape) for w in ws]
    nabla_b = [np.zeros(b.shape) for b in bs]
    delta = a - y
    nabla_w[-1] = (np.dot(delta, activations[-2].T) + lam * ws[-1]) / m
    nabla_b[-1] = delta.sum(axis=1, keepdims=True) / m
    for l in range(2, len(ws) + 1):
        z = zs[-l]
        sp = sigmoid(z) * (1 - sigmoid(z))
        delta = np.dot(ws[-l + 1].T, delta) * sp
        nabla_w[-l] = (np.dot(delta, activations[-l - 1].T) + lam * ws[-l]) / m
        nabla_b[-l] = delta.sum(axis=1, keepdims=True) / m
    return cost, {"weights": nabla_w, "biases": nabla_b}


PROGRAMS = {
    "sigmoid": sigmoid_net, "relu_softmax": relu_softmax, "tanh": tanh_net, "looping": looping, "flat": flat_tanh,
    "deep": deep_sigmoid,
}  # fmt: skip
"""Name -> program; the first three are the networks that the figures ask for."""
