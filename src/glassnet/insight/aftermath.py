"""What is left after a run: too few epochs, too small a network, or one that has learned its rows by heart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glassnet.arrays import Array
from glassnet.insight.data_signs import finding, neighbour_score
from glassnet.insight.findings import Finding
from glassnet.insight.patient import Case, data_losses
from glassnet.insight.remedies import Change
from glassnet.layers import Dense

__all__ = ["aftermath_findings"]

STILL_FALLING = 0.02
"""A run is unfinished where its last tenth has lowered the loss by this share of the blind loss."""


def aftermath_findings(case: Case, blind: float) -> Iterator[Finding]:
    """Return the findings on a finished run; nothing where it was not run."""
    history = case.history
    losses = np.empty(0) if history is None else data_losses(history)
    losses = losses[np.isfinite(losses)]
    unfinished = _unfinished(case, losses, blind)
    if unfinished is not None:
        yield unfinished
        return
    if case.fitted is None:
        return
    own = case.data_loss(case.fitted, case.fitted_state)
    over = _overfitting(case, own, blind)
    if over is not None:
        yield over
    else:
        yield from _underfitting(case, own, blind)


def _unfinished(case: Case, losses: Array, blind: float) -> Finding | None:
    if len(losses) < 2 or case.status != "completed":
        return None
    tail = max(len(losses) // 10, 1)
    drop = float(losses[-1 - tail] - losses[-1])
    if drop < STILL_FALLING * blind or losses[-1] < 0.1 * blind:
        return None
    return finding(
        case, "too_few_epochs", f"epoch {len(losses)}, the last", "warning",
        {"loss at the end": float(losses[-1]), f"fall of the loss in the last {tail} epochs": drop,
         "blind loss": blind},
        "The loss was still falling when the last epoch ended. "
        "It needs more epochs (and stops by itself when they no longer help).",
        Change("epochs", max(4 * case.epochs, 200)),
    )  # fmt: skip


def _overfitting(case: Case, own: float, blind: float) -> Finding | None:
    history = case.history
    evidence = {"loss on the training rows": own, "blind loss": blind}
    where = "held-out rows"
    ill = False
    if history is not None and "validation_loss" in history.columns and not case.stops_early:
        held = history["validation_loss"]
        best = int(np.nanargmin(held))
        rise = float(held[-1] - held[best])
        ill = rise > 0.1 * blind and held[-1] > 1.2 * held[best] and own < held[best]
        evidence |= {
            f"held-out loss in epoch {best + 1}, its best": float(held[best]),
            "held-out loss at the end": float(held[-1]),
        }
        where = f"from epoch {best + 1} on"
    elif case.held_out is not None and case.fitted is not None:
        held_loss = case.data_loss(case.fitted, case.fitted_state, case.held_out)
        ill = held_loss > 2.0 * own and held_loss - own > 0.4 * blind
        evidence |= {"loss on held-out rows": held_loss}
    if not ill:
        return None
    rows, parameters = len(case.X), case.net.n_parameters
    return finding(
        case, "overfitting", where, "warning", {**evidence, "parameters": parameters, "training rows": rows},
        "The network has learned its rows by heart: on them the loss is low, on rows it has not seen it is not. "
        "Stop when the held-out loss is lowest; more rows, a penalty or a smaller network help, too.",
        Change("early_stopping"),
    )  # fmt: skip


def _underfitting(case: Case, own: float, blind: float) -> Iterator[Finding]:
    assert case.fitted is not None
    if own < 0.35 * blind:
        return
    score = case.score(case.fitted, case.fitted_state, (case.X, case.Y))
    near = neighbour_score(case)
    if not score < near - 0.15:
        return
    hidden = [layer.units for layer in case.net.layers[:-1] if isinstance(layer, Dense)]
    yield finding(
        case, "underfitting", "hidden layers" if hidden else "no hidden layer", "warning",
        {"score on its own training rows": score, "score of nearest neighbours, left out": near,
         "narrowest hidden layer": float(min(hidden, default=0))},
        "The run has ended, and a simple comparison with neighbours still explains more of the data than the network. "
        "It is too small for what is to be learned (or too strictly penalised): widen its hidden layers.",
        Change("hidden", 100),
    )  # fmt: skip
