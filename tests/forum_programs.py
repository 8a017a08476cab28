"""Programs as beginners post them and ask "why does it not learn?": written for these tests, in the style of forums."""

from __future__ import annotations

from typing import Any

import numpy as np

# "My XOR network with NumPy always outputs 0.5"


def xor_network(weights: Any, X: Any, y: Any) -> Any:
    """Its derivative takes a, but is given z in the hidden layer."""
    syn0, syn1 = weights

    def nonlin(x: Any, deriv: bool = False) -> Any:
        if deriv:
            return x * (1 - x)
        return 1 / (1 + np.exp(-x))

    z1 = np.dot(X, syn0)
    l1 = nonlin(z1)
    l2 = nonlin(np.dot(l1, syn1))
    l2_error = l2 - y
    l2_delta = l2_error * nonlin(l2, deriv=True)
    l1_delta = l2_delta.dot(syn1.T) * nonlin(z1, deriv=True)
    return np.sum(0.5 * l2_error**2), [X.T.dot(l1_delta), l1.T.dot(l2_delta)]


# "Deep learning course, cost goes down at first and then explodes"


def forward_backward(parameters: Any, X: Any, Y: Any) -> Any:
    """Samples in columns; db without keepdims, and no 1/m in one of the weights."""
    m = X.shape[1]
    Z1 = np.dot(parameters["W1"], X) + parameters["b1"]
    A1 = np.maximum(0, Z1)
    Z2 = np.dot(parameters["W2"], A1) + parameters["b2"]
    A2 = 1 / (1 + np.exp(-Z2))
    cost = -1 / m * np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))
    dZ2 = A2 - Y
    dW2 = np.dot(dZ2, A1.T)
    db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.dot(parameters["W2"].T, dZ2)
    dZ1[Z1 <= 0] = 0
    dW1 = 1 / m * np.dot(dZ1, X.T)
    db1 = 1 / m * np.sum(dZ1, axis=1)
    return np.squeeze(cost), {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}


# "Accuracy on MNIST stuck at 11% (softmax)"


class NeuralNetwork:
    """A class with weights inside; the softmax is differentiated although delta = p - y holds that already."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        self.w1, self.b1 = rng.normal(size=(6, 8)) * 0.5, np.zeros((1, 8))
        self.w2, self.b2 = rng.normal(size=(8, 4)) * 0.5, np.zeros((1, 4))

    def feedforward(self, X: Any) -> None:
        self.layer1 = 1.0 / (1.0 + np.exp(-(X @ self.w1 + self.b1)))
        scores = np.exp(self.layer1 @ self.w2 + self.b2)
        self.output = scores / np.sum(scores, axis=1, keepdims=True)

    def backprop(self, X: Any, y: Any) -> list[Any]:
        error = (self.output - y) * self.output * (1 - self.output) / len(X)
        hidden = error @ self.w2.T * self.layer1 * (1 - self.layer1)
        return [X.T @ hidden, hidden.sum(0, keepdims=True), self.layer1.T @ error, error.sum(0, keepdims=True)]

    def loss_and_grads(self, params: Any, X: Any, y: Any) -> Any:
        self.w1, self.b1, self.w2, self.b2 = params
        self.feedforward(X)
        return -np.mean(np.sum(y * np.log(self.output), axis=1)), self.backprop(X, y)


# "Linear regression from scratch: gradient descent returns NaN"


def linear_cost(w: Any, b: Any, X: Any, y: Any) -> Any:
    return np.sum((X @ w + b - y) ** 2) / (2 * len(y))


def linear_gradient(w: Any, b: Any, X: Any, y: Any) -> Any:
    """Two loops and the number of the samples of somebody else's data."""
    dw = np.zeros(len(w))
    db = 0.0
    for i in range(len(y)):
        err = np.dot(X[i], w) + b - y[i]
        for j in range(len(w)):
            dw[j] += err * X[i, j]
        db += err
    return dw / 20, db / 20


# "My network for house prices predicts the mean for every house"


def house_prices(p: Any, X: Any, y: Any) -> Any:
    """Outputs (m, 1), targets (m,): the difference is (m, m)."""
    h = np.tanh(X @ p["W1"] + p["b1"])
    pred = h @ p["W2"] + p["b2"]
    diff = pred - y
    d = 2 * diff.mean(axis=1, keepdims=True) / len(X)
    dh = d @ p["W2"].T * (1 - h**2)
    return np.mean(diff**2), {"W1": X.T @ dh, "b1": dh.sum(axis=0), "W2": h.T @ d, "b2": d.sum(axis=0)}


# "Is this train step correct?"


def train_step(params: Any, X: Any, y: Any) -> Any:
    """Returns the new weights where the gradients are asked for."""
    W1, b1, W2, b2 = params
    a1 = np.tanh(X @ W1 + b1)
    yhat = a1 @ W2 + b2
    loss = np.mean((yhat - y) ** 2)
    dyhat = 2 * (yhat - y) / y.size
    da1 = dyhat @ W2.T * (1 - a1**2)
    W2 = W2 - 0.01 * a1.T @ dyhat
    b2 = b2 - 0.01 * dyhat.sum(axis=0)
    W1 = W1 - 0.01 * X.T @ da1
    b1 = b1 - 0.01 * da1.sum(axis=0)
    return loss, (W1, b1, W2, b2)
