"""What the tests of callbacks share: records made by hand, and one short run of a line."""

from __future__ import annotations

from typing import Any

import numpy as np

import glassnet as gn
from glassnet import SGD
from glassnet.history import EpochRecord, Run

LINE = gn.Objective(gn.Network(1, [gn.Dense(1)]), "squared_error")
X = np.linspace(-1, 1, 20)[:, None]
Y = 3 * X + 1


def record(
    epoch: int, loss: float = 1.0, *, seconds: float = 0.0, rate: float = 0.1, epochs: int = 100, **scores: float
) -> EpochRecord:
    return EpochRecord(
        epoch=epoch, updates=epoch, loss=loss, scores=scores, learning_rate=rate, gradient_norm=1.0,
        seconds=seconds, theta=np.array([float(epoch)]), state=np.empty(0), epochs=epochs,
    )  # fmt: skip


def fit(**options: Any) -> Run:
    return gn.train(LINE, np.zeros(2), X, Y, **{"optimizer": SGD(0.1), "epochs": 30, "batch_size": 5, **options})
