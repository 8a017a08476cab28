"""Do output, loss and targets belong together?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glassnet.insight.data_signs import FEWEST, finding
from glassnet.insight.findings import Finding
from glassnet.insight.patient import Case
from glassnet.insight.remedies import Change

__all__ = ["pairing_findings"]

BOUNDED = {
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "relu": (0.0, np.inf),
    "exp": (0.0, np.inf),
}
"""Output activation -> between what its values lie."""
OUT_OF_REACH = 0.02


def pairing_findings(case: Case) -> Iterator[Finding]:
    """Return at most one finding: targets that no output can reach, or a loss that learns slowly with its output."""
    output, loss = case.net.output_activation, case.objective.loss_record.name
    low, high = BOUNDED.get(output, (-np.inf, np.inf))
    beyond = float(((low > case.Y) | (high < case.Y)).mean())
    one_hot = case.Y.shape[1] > 1 and case.is_classes and bool((case.Y.sum(axis=1) == 1).all())
    if beyond > OUT_OF_REACH:
        yield finding(
            case, "wrong_pairing", f"output {output}", "error",
            {"share of targets out of reach": beyond, "lowest target": float(case.Y.min()),
             "highest target": float(case.Y.max())},
            f"The output activation {output} gives values between {low:g} and {high:g}, and many targets lie outside. "
            "No training can reach them: a regression on any numbers has the identity as its output.",
            Change("output", ("identity", "squared_error")),
        )  # fmt: skip
    elif case.is_classes and (one_hot or case.Y.shape[1] == 1) and _mismatched(output, loss):
        right = ("softmax", "cross_entropy") if one_hot else ("sigmoid", "binary_cross_entropy")
        slope = "with the slope of the output" if output in ("sigmoid", "softmax") else "without a bound"
        yield finding(
            case, "wrong_pairing", f"output {output} with the loss {loss}", "warning",
            {"classes": float(max(case.Y.shape[1], 2)), "outputs": float(case.Y.shape[1])},
            f"The gradient at the output shrinks or grows {slope}, and confident mistakes teach little. "
            f"For classes take {right[0]} outputs with {right[1]}: the gradient is then output minus target.",
            Change("output", right),
        )  # fmt: skip
    elif one_hot and output == "sigmoid" and len(case.Y) >= FEWEST:
        yield finding(
            case, "labels_shape", "y", "warning",
            {"columns of y": float(case.Y.shape[1]), "ones in every row of y": 1},
            "Every row of y has exactly one 1: these are one-hot rows of one label, read here as several labels a row. "
            "Pass the class numbers (m,); outputs then compete (softmax) instead of answering apart.",
            Change("data", "y = np.argmax(y, axis=1)"),
            Change("output", ("softmax", "cross_entropy")),
        )  # fmt: skip


def _mismatched(output: str, loss: str) -> bool:
    """Whether a classifier's loss is one for numbers, or its output none that gives probabilities."""
    fits = {"cross_entropy": ("softmax",), "binary_cross_entropy": ("sigmoid",), "focal": ("sigmoid",)}
    return output not in fits.get(loss, ())
