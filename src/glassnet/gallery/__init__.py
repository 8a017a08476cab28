"""The gallery: known lessons about neural networks, one experiment a file, each with its expected figures.

from glassnet import gallery
result = gallery.get("gates").run(seed=0)
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from glassnet.errors import choose

__all__ = ["NAMES", "get"]

NAMES = (
    "gates", "activations", "approximation", "study_hours",  # first steps
    "batch_sizes", "initializations", "adagrad", "by_hand",  # learning by gradient descent
    "digits", "grid", "two_layer", "softmax_gradient", "depth", "mnist",  # recognising digits
    "autoencoder", "pde",  # codes and equations
)  # fmt: skip
"""The experiments in the order of the lessons."""


def get(name: str) -> ModuleType:
    """Return the module of an experiment: TITLE, QUESTION and `run(seed=0, quick=False) -> Experiment`.

    Raises GlassnetError for an unknown name, with the nearest one.

    >>> get("gates").TITLE
    'OR is linear, XOR is not'
    """
    choose("experiment", name, dict.fromkeys(NAMES))
    return import_module(f"glassnet.gallery.{name}")
