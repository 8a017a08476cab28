"""How right are the gradients? The worst relative error of every layer x activation x loss that may be combined.

    python -m benchmarks.gradients

Against central differences for all, and against complex steps where every function in the chain is analytic; in
float64, with dropout and batch statistics as in training. (The tests check the same with drawn shapes and stacks, and
against PyTorch: pytest tests/contracts.)
"""

from __future__ import annotations

import itertools

import numpy as np

import glassnet as gn
from glassnet.activations import ACTIVATIONS
from glassnet.losses import LOSSES

MIDDLE = {"none": [], "Dropout": [gn.Dropout(0.3)], "BatchNorm": [gn.BatchNorm()], "LayerNorm": [gn.LayerNorm()]}


def targets(kind: str, rng: np.random.Generator) -> np.ndarray:
    shape = (6, 3)
    return {
        "simplex": lambda: np.eye(3)[rng.integers(0, 3, 6)],
        "unit": lambda: rng.uniform(0.05, 0.95, shape),
        "positive": lambda: rng.uniform(0.5, 2.0, shape),
        "nonnegative": lambda: rng.integers(0, 4, shape).astype(float),
        "real": lambda: rng.normal(size=shape),
    }[kind]()


def smooth_case(objective: gn.Objective) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first theta, X and Y whose signals stay clear of kinks (z = 0, |a - y| = 0 or 1).

    At a kink a central difference is not the derivative, however small its step.
    """
    for seed in range(1, 1000):
        rng = np.random.default_rng(seed)
        theta, X, Y = objective.net.init(rng), rng.normal(size=(6, 3)), targets(objective.loss_record.targets, rng)
        trace = objective.net.forward(theta, X, training=True, rng=int(np.random.default_rng(0).integers(2**31)))
        ends = zip((1, len(trace.z) - 1), (objective.net.layers[0], objective.net.layers[-1]), strict=True)
        distances = [np.abs(trace.z[l]).min() for l, layer in ends if not layer.function.analytic]
        if not objective.loss_record.analytic:
            distances += [np.abs(np.abs(trace.output - Y) - edge).min() for edge in (0.0, 1.0)]
        normed = isinstance(objective.net.layers[1], gn.BatchNorm | gn.LayerNorm)
        axis = 0 if isinstance(objective.net.layers[1], gn.BatchNorm) else 1
        spread = trace.a[1].std(axis=axis).min() if normed else 1.0
        if min(distances, default=1.0) > 1e-3 and spread > 0.02:
            return theta, X, Y
    raise RuntimeError(f"no start of {objective} is clear of kinks")


def main() -> None:
    worst = {"central": (0.0, ""), "complex": (0.0, "")}
    counts = dict.fromkeys(worst, 0)
    refused = 0
    for middle, hidden, output, loss in itertools.product(MIDDLE, ACTIVATIONS, ACTIVATIONS, LOSSES):
        net = gn.Network(3, [gn.Dense(4, hidden), *MIDDLE[middle], gn.Dense(3, output)])
        try:
            objective = gn.Objective(net, loss, l2=0.1)
        except gn.GlassnetError:  # an output that can leave the domain of the loss
            refused += 1
            continue
        theta, X, Y = smooth_case(objective)
        analytic = objective.loss_record.analytic and all(ACTIVATIONS[name]().analytic for name in (hidden, output))
        for method in ("central", "complex") if analytic else ("central",):
            error = gn.check_gradient(objective, theta, X, Y, method=method).error
            counts[method] += 1
            worst[method] = max(worst[method], (error, f"{hidden} + {middle} + {output}, {loss}"))
    print(f"{sum(counts.values())} checks; {refused} combinations refused, whose output leaves the loss's domain")
    for method, wanted in (("central", 1e-6), ("complex", 1e-11)):
        error, where = worst[method]
        print(f"{method:8} {counts[method]} networks, worst relative error {error:.1e} (at most {wanted:.0e}): {where}")


if __name__ == "__main__":
    main()
