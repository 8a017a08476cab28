"""Faults as people make them: an edit of a line or two in one of `programs`, and what must be said of each array.

An edit is "old => new", several are divided by " ;; "; the program is compiled again from the edited text. Arrays that
`expected` does not name must be found right.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import programs

__all__ = ["PLANTED", "Planted", "data_for", "names_of", "spoiled"]

SIZES = {
    "sigmoid": (4, 5, 3), "relu_softmax": (4, 6, 5, 3), "tanh": (3, 6, 2), "looping": (4, 5, 3), "flat": (4, 5, 3),
    "deep": (4, 5, 6, 2),
}  # fmt: skip
"""Inputs, hidden units and outputs of each program, where a fault does not ask for others."""

ALL = "W1 b1 W2 b2 W3 b3"


@dataclass(frozen=True)
class Planted:
    """A fault of some `kind`: the `edit` of a `program`, and {array: codes that are right for it}."""

    kind: str
    program: str
    edit: str
    expected: Mapping[str, tuple[str, ...]]
    sizes: tuple[int, ...] = ()
    m: int = 12
    lam: float | None = None


def names_of(program: str) -> dict[str, str]:
    """Return short name -> the name that the program gives to the array: W1 -> weights[0]."""
    layers = range(1, len(SIZES[program]))
    if program == "relu_softmax":
        return {f"{kind}{l}": f"params[{2 * (l - 1) + (kind == 'b')}]" for l in layers for kind in "Wb"}
    if program == "deep":
        return {f"{k}{l}": f"{word}[{l - 1}]" for l in layers for k, word in (("W", "weights"), ("b", "biases"))}
    if program == "flat":
        return {f"W{l}": f"W{l}" for l in layers}
    if program == "tanh":
        return {f"{kind}{l}": f"{word}{l}" for l in layers for kind, word in (("W", "w"), ("b", "c"))}
    return {f"{kind}{l}": f"{kind}{l}" for l in layers for kind in "Wb"}


def spoiled(program: str, edit: str) -> Callable[..., Any]:
    """Return the program with its lines edited; every edit must find its line."""
    source = inspect.getsource(programs.PROGRAMS[program])
    for one in edit.split(" ;; ") if edit else []:
        old, new = one.split(" => ")
        if old not in source:
            raise ValueError(f"{program} has no line {old!r}")
        source = source.replace(old, new)
    space: dict[str, Any] = dict(vars(programs))
    exec(compile(source, f"<{program}>", "exec"), space)
    return space[programs.PROGRAMS[program].__name__]


def data_for(program: str, seed: int, sizes: tuple[int, ...] = (), m: int = 12, lam: float | None = None) -> Any:
    """Return (params, data) for a program; lam is 0 or 0.05 by the seed unless it is given."""
    rng = np.random.default_rng(seed)
    sizes = sizes or SIZES[program]
    n, k = sizes[0], sizes[-1]
    lam = (0.0, 0.05)[seed % 2] if lam is None else lam
    W = [rng.normal(size=pair) * 0.7 for pair in itertools.pairwise(sizes)]
    b = [rng.normal(size=q) * 0.3 for q in sizes[1:]]
    X, labels = rng.normal(size=(m, n)), np.resize(rng.permutation(k), m)
    Y = np.eye(k)[labels]
    if program == "relu_softmax":
        return [a for w, c in zip(W, b, strict=True) for a in (w.T.copy(), c[:, None])], (X.T.copy(), Y.T.copy(), lam)
    if program == "tanh":
        params = {f"{n}{l}": a for n, own in (("w", W), ("c", b)) for l, a in enumerate(own, 1)}
        return params, (X, np.stack([np.sin(X.sum(axis=1) + j) for j in range(k)], axis=1), lam)
    if program == "flat":
        return np.concatenate([np.vstack([c, w]).ravel() for w, c in zip(W, b, strict=True)]), (X, labels, lam)
    if program == "deep":
        return {"weights": [w.T.copy() for w in W], "biases": [c[:, None] for c in b]}, (
            X.T.copy(), (rng.random((k, m)) < 0.5).astype(float), lam,
        )  # fmt: skip
    turned = program == "looping"
    params = {f"W{l}": w.T.copy() if turned else w for l, w in enumerate(W, 1)}
    return params | {f"b{l}": c for l, c in enumerate(b, 1)}, (X, Y, lam)


def _plant(kind: str, program: str, edit: str, expected: str, **options: Any) -> Planted:
    own = {}
    for part in expected.split("; "):
        arrays, codes = part.split(": ")
        present = [name for name in arrays.split() if name in names_of(program)]
        own |= dict.fromkeys(present, tuple(codes.split(" or ")))
    return Planted(kind, program, edit, own, **options)


PLANTED = (
    # constant factors
    _plant("missing 1/m", "sigmoid", "/ m => ", f"{ALL}: missing_1_over_m", lam=0.0),
    _plant("missing 1/m", "relu_softmax", "dZ3 = P - Y => dZ3 = m * (P - Y)", f"{ALL}: missing_1_over_m", lam=0.0),
    _plant("missing 1/m", "flat", "(probs - Y) / m => probs - Y", f"{ALL}: missing_1_over_m"),
    _plant("missing 1/m", "deep", "keepdims=True) / m => keepdims=True)", "b1 b2 b3: missing_1_over_m"),
    _plant("missing 2", "tanh", "dout = 2 * err => dout = err", f"{ALL}: missing_2"),
    _plant("missing 2", "sigmoid", "/ (2 * m) => / m", f"{ALL}: missing_2"),
    _plant("missing 2", "tanh", "np.mean(err**2) => np.mean(np.sum(err**2, axis=1)) ;; err.size => len(X) ;; "
           "dc2 = dout.sum(axis=0) => dc2 = dout.sum(axis=0) / 2", "b2: missing_2", sizes=(3, 6, 3)),
    _plant("missing 2", "deep", "-np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)) / m => np.sum((a - y) ** 2) / m ;; "
           "delta = a - y => delta = (a - y) * a * (1 - a)", f"{ALL}: missing_2"),
    _plant("2 too many", "sigmoid", "d2 = (a2 => d2 = 2 * (a2", f"{ALL}: extra_2"),
    _plant("2 too many", "deep", "delta = a - y => delta = 2 * (a - y)", f"{ALL}: extra_2"),
    _plant("2 too many", "tanh", "loss = np.mean(err**2) => loss = np.mean(err**2) / 2", f"{ALL}: extra_2"),
    _plant("missing 1/k", "tanh", "/ err.size => / len(X)", f"{ALL}: missing_1_over_k", sizes=(3, 6, 5)),
    _plant("missing 1/k", "sigmoid", "/ (2 * m) => / (2 * a2.size)", f"{ALL}: missing_1_over_k"),
    _plant("missing 1/k", "relu_softmax", "np.log(P)) / m => np.log(P)) / Y.size", f"{ALL}: missing_1_over_k"),
    _plant("learning rate", "sigmoid", "return loss => grads = {k: 0.1 * g for k, g in grads.items()}; return loss",
           f"{ALL}: learning_rate"),
    _plant("learning rate", "tanh", "dc2 = dout => dc2 = 0.01 * dout", "b2: learning_rate"),
    _plant("learning rate", "relu_softmax", "return cost, [dW1, => return cost, [0.05 * dW1,", "W1: learning_rate"),
    # signs
    _plant("wrong sign", "sigmoid", "d2 = (a2 - y) => d2 = (y - a2)", f"{ALL}: wrong_sign"),
    _plant("wrong sign", "relu_softmax", "dZ3 = P - Y => dZ3 = Y - P", f"{ALL}: wrong_sign"),
    _plant("wrong sign", "tanh", "dc1 = ds => dc1 = -ds", "b1: wrong_sign"),
    _plant("wrong sign", "deep", "delta = a - y => delta = y - a", f"{ALL}: wrong_sign"),
    # transposed
    _plant("transposed", "sigmoid", 'a1.T @ d2 / m => (a1.T @ d2 / m).T', "W2: transposed", sizes=(4, 3, 3), lam=0.0),
    _plant("transposed", "relu_softmax", "dZ2 @ A1.T / m => A1 @ dZ2.T / m", "W2: transposed", sizes=(4, 5, 5, 3),
           lam=0.0),
    _plant("transposed", "tanh", "X.T.dot(ds) => ds.T.dot(X)", "W1: transposed", lam=0.0, sizes=(5, 5, 2)),
    _plant("transposed", "looping", "np.outer(delta1, x) => np.outer(x, delta1)", "W1: transposed", sizes=(4, 4, 3),
           lam=0.0),
    # mean and sum
    _plant("mean for sum", "looping", "return loss, {\"W1\": gW1 => n = len(xs); gW1 /= n; return loss, {\"W1\": gW1",
           "W1: extra_1_over_m"),
    _plant("mean for sum", "sigmoid", "/ (2 * m) => / 2", f"{ALL}: extra_1_over_m", lam=0.0),
    _plant("mean for sum", "deep", "* np.log(1 - a)) / m => * np.log(1 - a))", f"{ALL}: extra_1_over_m", lam=0.0),
    _plant("1/m twice", "flat", "G2 = A1.T @ D2 => G2 = A1.T @ D2 / m", "W2: extra_1_over_m", lam=0.0),
    _plant("1/m twice", "relu_softmax", "dZ3 @ A2.T / m => dZ3 @ A2.T / m**2", "W3: extra_1_over_m", lam=0.0),
    _plant("1/m twice", "tanh", "dc2 = dout.sum(axis=0) => dc2 = dout.mean(axis=0)", "b2: extra_1_over_m"),
    # derivatives
    _plant("derivative missing, hidden", "sigmoid", "@ p[\"W2\"].T) * a1 * (1 - a1) => @ p[\"W2\"].T)",
           "W1 b1: missing_derivative"),
    _plant("derivative missing, hidden", "relu_softmax", "(W2.T @ dZ2) * (Z1 > 0) => (W2.T @ dZ2)",
           "W1 b1: missing_derivative"),
    _plant("derivative missing, hidden", "tanh", "dout.dot(p[\"w2\"].T) * (1 - h**2) => dout.dot(p[\"w2\"].T)",
           "W1 b1: missing_derivative"),
    _plant("derivative missing, hidden", "relu_softmax", "(W3.T @ dZ3) * (Z2 > 0) => (W3.T @ dZ3)",
           "W2 b2: missing_derivative; W1 b1: inherited"),
    _plant("derivative missing, output", "sigmoid", "d2 = (a2 - y) * a2 * (1 - a2) => d2 = a2 - y",
           "W2 b2: missing_derivative; W1 b1: inherited"),
    _plant("derivative missing, output", "deep", "-np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)) / m => "
           "0.5 * np.sum((a - y) ** 2) / m", "W3 b3: missing_derivative; W1 b1 W2 b2: inherited"),
    _plant("derivative missing, output", "tanh", "out = h.dot(p[\"w2\"]) + p[\"c2\"] => "
           "out = np.tanh(h.dot(p[\"w2\"]) + p[\"c2\"])", "W2 b2: missing_derivative; W1 b1: inherited"),
    _plant("derivative at a", "sigmoid", "* a1 * (1 - a1) => * sigmoid(a1) * (1 - sigmoid(a1))",
           "W1 b1: derivative_at_a"),
    _plant("derivative at a", "tanh", "* (1 - h**2) => * (1 - np.tanh(h) ** 2)", "W1 b1: derivative_at_a"),
    _plant("derivative at a", "deep", "z = zs[-l] => z = activations[-l]",
           "W2 b2: derivative_at_a; W1 b1: derivative_at_a+inherited or inherited+derivative_at_a"),
    _plant("derivative at z", "sigmoid", "* a1 * (1 - a1) => * z1 * (1 - z1)", "W1 b1: derivative_at_z"),
    _plant("derivative at z", "tanh", "* (1 - h**2) => * (1 - s**2)", "W1 b1: derivative_at_z"),
    _plant("derivative at z", "looping", "delta2) * h * (1 - h) => delta2) * z * (1 - z)", "W1 b1: derivative_at_z"),
    _plant("derivative at z", "flat", "* (1 - a**2) => * (1 - z**2)", "W1: derivative_at_z"),
    _plant("derivative twice", "sigmoid", "d1 = (d2 => d1 = a1 * (1 - a1) * (d2", "W1 b1: derivative_twice"),
    _plant("derivative twice", "tanh", "* (1 - h**2) => * (1 - h**2) ** 2", "W1 b1: derivative_twice"),
    _plant("derivative twice", "looping", "* h * (1 - h) => * h**2 * (1 - h) ** 2", "W1 b1: derivative_twice"),
    _plant("derivative of another", "tanh", "* (1 - h**2) => * h * (1 - h)", "W1 b1: wrong_derivative"),
    _plant("derivative of another", "relu_softmax", "* (Z1 > 0) => * (1 - np.tanh(Z1) ** 2)",
           "W1 b1: wrong_derivative"),
    _plant("derivative of another", "sigmoid", "* a1 * (1 - a1) => * (1 - a1**2)", "W1 b1: wrong_derivative"),
    _plant("derivative too many", "relu_softmax", "dZ3 = P - Y => dZ3 = (P - Y) * P * (1 - P)",
           "W3 b3: softmax_twice; W1 b1 W2 b2: inherited"),
    _plant("derivative too many", "looping", "delta2 = probs - t => delta2 = (probs - t) * probs * (1 - probs)",
           "W2 b2: softmax_twice; W1 b1: inherited"),
    _plant("derivative too many", "flat", "D2 = (probs - Y) / m => D2 = (probs - Y) / m; D2 = probs * (D2 - "
           "(probs * D2).sum(axis=1, keepdims=True))", "W2: softmax_twice; W1: inherited"),
    _plant("derivative too many", "deep", "delta = a - y => delta = (a - y) * a * (1 - a)",
           "W3 b3: extra_derivative; W1 b1 W2 b2: inherited"),
    _plant("derivative too many", "tanh", "dout = 2 * err => dout = 2 * (1 - np.tanh(out) ** 2) * err",
           "W2 b2: extra_derivative; W1 b1: inherited"),
    # sums over samples
    _plant("bias not summed", "sigmoid", 'd2.sum(axis=0) / m => d2 / m', "b2: bias_not_summed"),
    _plant("bias not summed", "relu_softmax", "db1 = np.sum(dZ1, axis=1, keepdims=True) => db1 = dZ1",
           "b1: bias_not_summed"),
    _plant("bias not summed", "tanh", "dc1 = ds.sum(axis=0) => dc1 = ds", "b1: bias_not_summed"),
    _plant("bias summed over units", "sigmoid", "d1.sum(axis=0) => d1.sum(axis=1)", "b1: summed_over_units"),
    _plant("bias summed over units", "relu_softmax", "db2 = np.sum(dZ2, axis=1, keepdims=True) => db2 = np.sum(dZ2)",
           "b2: summed_over_units"),
    _plant("bias summed over units", "tanh", "dc2 = dout.sum(axis=0) => dc2 = dout.sum()", "b2: summed_over_units"),
    _plant("samples mixed", "sigmoid", "X.T @ d1 => X.reshape(X.shape[1], m) @ d1", "W1: samples_mixed"),
    _plant("samples mixed", "relu_softmax", "dZ2 @ A1.T => dZ2 @ A1.reshape(m, -1)", "W2: samples_mixed"),
    _plant("samples mixed", "tanh", "h.T.dot(dout) => h.reshape(-1, len(X)).dot(dout)", "W2: samples_mixed"),
    _plant("samples mixed", "flat", "G1 = X1.T @ D1 => G1 = X1 @ D1", "W1: samples_mixed", sizes=(5, 4, 3), m=6),
    _plant("last sample only", "looping", "gW2 += np.outer => gW2 = lam * W2 + np.outer", "W2: last_sample_only"),
    _plant("last sample only", "looping", "gb1 += delta1 => gb1 = delta1", "b1: last_sample_only"),
    _plant("last sample only", "relu_softmax", "db3 = np.sum(dZ3, axis=1, keepdims=True) => db3 = dZ3[:, -1:]",
           "b3: last_sample_only"),
    _plant("last sample only", "sigmoid", "X.T @ d1 / m => np.outer(X[-1], d1[-1]) / m", "W1: last_sample_only"),
    _plant("product of means", "sigmoid", "X.T @ d1 / m => np.outer(X.mean(axis=0), d1.mean(axis=0))",
           "W1: product_of_sums or product_of_sums+extra_1_over_m", lam=0.0),
    _plant("product of means", "tanh", "h.T.dot(dout) => np.outer(h.sum(axis=0), dout.sum(axis=0))",
           "W2: product_of_sums"),
    _plant("product of means", "deep", "(np.dot(delta, activations[-2].T) => (np.outer(delta.sum(axis=1), "
           "activations[-2].sum(axis=1))", "W3: product_of_sums"),
    # penalties
    _plant("penalty missing", "sigmoid", ' + lam * p["W1"]\n => \n', "W1: penalty_missing", lam=0.1),
    _plant("penalty missing", "relu_softmax", " + lam / m * W2 => ", "W2: penalty_missing", lam=0.1),
    _plant("penalty missing", "tanh", " + 2 * lam * p[\"w2\"] => ", "W2: penalty_missing", lam=0.1),
    _plant("penalty missing", "flat", "    G2[1:] += lam * T2[1:]\n => ", "W2: penalty_missing", lam=0.1),
    _plant("penalty, factor 2", "tanh", "2 * lam * p[\"w1\"] => lam * p[\"w1\"]", "W1: penalty_without_2", lam=0.1),
    _plant("penalty, factor 2", "sigmoid", '+ lam * p => + 2 * lam * p', "W1 W2: penalty_twice", lam=0.1),
    _plant("penalty, factor 2", "relu_softmax", "lam / m * W3 => 2 * lam / m * W3", "W3: penalty_twice", lam=0.1),
    _plant("penalty, strength", "deep", "(np.dot(delta, activations[-2].T) + lam * ws[-1]) / m => "
           "np.dot(delta, activations[-2].T) / m + lam * ws[-1]", "W3: penalty_factor", lam=0.1),
    _plant("penalty, strength", "looping", "lam * W1, np => len(xs) * lam * W1, np", "W1: penalty_factor", lam=0.1),
    _plant("penalty, strength", "sigmoid", 'd2 / m + lam * p["W2"] => d2 / m + lam / m * p["W2"]', "W2: penalty_factor",
           lam=0.1),
    _plant("penalty in gradient only", "sigmoid", "lam / 2 * => 0 *", "W1 W2: penalty_only_in_gradient", lam=0.1),
    _plant("penalty in gradient only", "tanh", "np.mean(err**2) + lam * => np.mean(err**2) + 0 *",
           "W1 W2: penalty_only_in_gradient", lam=0.1),
    _plant("penalty in gradient only", "deep", "cost += lam => cost += 0",
           "W1 W2 W3: penalty_only_in_gradient", lam=0.1),
    # one thing in the place of another
    _plant("gradients swapped", "sigmoid", 'return loss, grads => grads["W1"], grads["W2"] = grads["W2"], grads["W1"]; '
           "return loss, grads", "W1 W2: swapped", sizes=(4, 4, 4)),
    _plant("gradients swapped", "relu_softmax", "[dW1, db1, dW2, db2 => [dW1, db2, dW2, db1", "b1 b2: swapped",
           sizes=(4, 5, 5, 3)),
    _plant("gradients swapped", "deep", 'return cost => nabla_b[0], nabla_b[1] = nabla_b[1], nabla_b[0]; return cost',
           "b1 b2: swapped", sizes=(4, 6, 6, 2)),
    _plant("weights not transposed", "sigmoid", 'd2 @ p["W2"].T => d2 @ p["W2"]', "W1 b1: weights_not_transposed",
           sizes=(4, 3, 3)),
    _plant("weights not transposed", "relu_softmax", "W2.T @ dZ2 => W2 @ dZ2", "W1 b1: weights_not_transposed",
           sizes=(4, 5, 5, 3)),
    _plant("weights not transposed", "deep", "ws[-l + 1].T => ws[-l + 1]",
           "W2 b2: weights_not_transposed; W1 b1: inherited+weights_not_transposed or weights_not_transposed+inherited",
           sizes=(4, 3, 3, 3)),
    _plant("z for a", "sigmoid", "a1.T @ d2 => z1.T @ d2", "W2: z_for_a"),
    _plant("z for a", "relu_softmax", "dZ2 @ A1.T => dZ2 @ Z1.T", "W2: z_for_a"),
    _plant("z for a", "deep", "np.dot(delta, activations[-2].T) => np.dot(delta, zs[-2].T)", "W3: z_for_a"),
    # several at once
    _plant("several", "sigmoid", 'd2.sum(axis=0) / m => d2 / m ;; * a1 * (1 - a1) => ',
           "b2: bias_not_summed; W1 b1: missing_derivative"),
    _plant("several", "relu_softmax", "(W2.T @ dZ2) * (Z1 > 0) => (W2.T @ dZ2) ;; db3 = np => db3 = -np ;; "
           "dW2 = dZ2 @ A1.T / m => dW2 = dZ2 @ A1.T",
           "b3: wrong_sign; W2: missing_1_over_m; W1 b1: missing_derivative", lam=0.0),
    _plant("several", "tanh", "dc1 = ds => dc1 = -ds ;; + 2 * lam * p[\"w2\"] =>  ;; * (1 - h**2) => ",
           "W2: penalty_missing; W1: missing_derivative; b1: missing_derivative+wrong_sign", lam=0.1),
    _plant("several", "deep", "delta = a - y => delta = y - a ;; z = zs[-l] => z = activations[-l]",
           "W3 b3: wrong_sign; W2 b2: derivative_at_a+wrong_sign; W1 b1: inherited+derivative_at_a+wrong_sign",
           lam=0.0),
)  # fmt: skip
