"""From findings to verdicts: right or not, the words, the line that mends it, and where to begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glassnet.arrays import Array
from glassnet.insight.differences import Measured
from glassnet.insight.judging import Finding, Point
from glassnet.insight.mending import general_lines, layer_lines
from glassnet.insight.rebuilding import Rebuilt
from glassnet.insight.shaping import Shaped
from glassnet.insight.verdicts import FAULTS, Verdict

__all__ = ["Case", "root", "verdict"]


@dataclass(frozen=True)
class Case:
    """All that is known: names of the arrays, points, right gradients, differences at the first point, findings.

    `received` are the shapes that the gradients had when they came; None where there was none.
    """

    names: Sequence[str]
    points: Sequence[Point]
    truths: Sequence[Sequence[Array]]
    measured: Sequence[Measured]
    shapes: Shaped
    found: Mapping[int, Finding]
    net: Rebuilt | None
    m: int
    tolerance: float
    received: Sequence[tuple[int, ...] | None]

    def layer(self, j: int) -> int | None:
        """The layer that array j belongs to, counted from 1; None where the network is not known."""
        slots = self.net.slots if self.net else ()
        return next((l for l, slot in enumerate(slots, 1) if j in (slot.weight, slot.bias)), None)

    def top(self, j: int) -> float:
        """The size that errors of array j are measured against."""
        everything = max(float(np.abs(own.value).max(initial=0.0)) for own in self.measured)
        own = self.measured[j]
        return max(float(np.abs(own.value[~own.at_kink]).max(initial=0.0)), 1e-3 * everything, 1e-12)


def verdict(case: Case, j: int) -> Verdict:
    """Return the verdict on array j."""
    own, G = case.measured[j], case.points[0].grads[j]
    if G is None:
        return _verdict(case, j, case.shapes.codes[j], Finding((), 0.0, float("inf")), (np.inf, 0, 0.0, 0.0))
    smooth = np.flatnonzero(~own.at_kink)
    miss = np.abs(G.ravel()[own.entries] - own.value)
    worst = int(smooth[miss[smooth].argmax()]) if smooth.size else 0
    error = float(miss[worst]) / case.top(j) if smooth.size else 0.0
    seen = (error, int(own.entries[worst]), float(G.ravel()[own.entries[worst]]), float(own.value[worst]))
    allowed = case.tolerance * case.top(j) + 20 * own.error
    here = bool((miss[smooth] <= allowed[smooth]).all())
    elsewhere = _elsewhere(case, j)
    if here and elsewhere[0] <= case.tolerance:
        codes = case.shapes.codes[j] or (("right",) if smooth.size or _judged(case, j) else ("kink",))
        return _verdict(case, j, codes, Finding((), 0.0, 0.0), seen)
    if here:  # all zeros at weights of zero, say: nothing could be seen there
        return replace(_fault(case, j, smooth, elsewhere, elsewhere[0]), nearby=True)
    return _fault(case, j, smooth, seen, max(error, elsewhere[0]))


Seen = tuple[float, int, float, float]
"""The largest relative error, the flat entry that it is at, and the two numbers there: yours and the right one."""


def _fault(case: Case, j: int, smooth: Array, seen: Seen, worst: float) -> Verdict:
    """Return the verdict on an array that is not right: `worst` is its largest relative error at any point."""
    own, finding = case.measured[j], case.found.get(j)
    if finding is not None and finding.codes:
        return _verdict(case, j, (*case.shapes.codes[j], *finding.codes), finding, seen)
    nothing = Finding((), 0.0, float("inf"))
    if _all_zero(case, j):
        return _verdict(case, j, ("zero",), Finding((), 0.0, 0.0), seen)
    if smooth.size and float(np.median(own.error[smooth])) > 1e-2 * case.top(j):
        return _verdict(case, j, ("too_coarse",), nothing, seen)
    code = "nearly_right" if worst < 1e-3 else "unknown"
    return _verdict(case, j, (*case.shapes.codes[j], code), nothing, seen)


def _elsewhere(case: Case, j: int) -> Seen:
    """Return what is worst at the points other than the first."""
    worst: Seen = (0.0, 0, 0.0, 0.0)
    for point, truth in zip(case.points[1:], case.truths[1:], strict=True):
        g, keep = point.grads[j], np.isfinite(truth[j])
        if g is not None and keep.any():
            everything = max(float(np.nanmax(np.abs(t), initial=0.0)) for t in truth)
            top = max(float(np.abs(truth[j][keep]).max()), 1e-3 * everything, 1e-12)
            miss = np.where(keep, np.abs(g - truth[j]), 0.0)
            at = int(miss.argmax())
            if float(miss.flat[at]) / top > worst[0]:
                worst = (float(miss.flat[at]) / top, at, float(g.flat[at]), float(truth[j].flat[at]))
    return worst


def _judged(case: Case, j: int) -> bool:
    return any(bool(np.isfinite(truth[j]).any()) for truth in case.truths[1:])


def _all_zero(case: Case, j: int) -> bool:
    return all(point.grads[j] is not None and not np.any(point.grads[j]) for point in case.points)


def _verdict(case: Case, j: int, codes: tuple[str, ...], finding: Finding, seen: Seen) -> Verdict:
    l, own = case.layer(j), case.measured[j]
    lines = general_lines(case.names[j])
    if case.net is not None and l is not None:
        lines = layer_lines(case.net, case.names, l, case.m or 1)
    is_bias = case.net is not None and l is not None and case.net.slots[l - 1].bias == j
    if is_bias:
        lines |= {"product": lines["bias"], "dW": lines["bias"].split(" = ")[0], "W": case.names[j]}
    lone = len(codes) == 1
    words = [FAULTS[code][0] if lone or code != "inherited" else BESIDES for code in codes]
    if finding.factor and any(code in FACTORS for code in codes):
        words.append(f"(Yours is {finding.factor} times the right one.)")
    whole = l == len(case.net.slots) if case.net is not None else False
    if whole and any(FAULTS[code][1] == "{delta}" for code in codes):  # that line has the factor and the sign in it
        codes_to_mend = [code for code in codes if code not in FACTORS]
    else:
        codes_to_mend = list(codes)
    mends = dict.fromkeys(FAULTS[code][1].format(**lines) for code in codes_to_mend if lone or code != "inherited")
    unsure = any(code in ("unknown", "nearly_right", "kink", "too_coarse", "shape_unknown") for code in codes)
    confidence = "unsure" if unsure else "likely" if finding.rivals else "certain"
    error, flat, yours, measured = seen
    shape = case.points[0].arrays[j].shape
    index = tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
    return Verdict(
        case.names[j], shape, codes, " ".join(words), "; ".join(mend for mend in mends if mend), confidence,
        finding.rivals, error, index, yours, measured, finding.residual, len(own.entries), case.received[j],
    )  # fmt: skip


BESIDES = "Besides, the delta that it receives from the layers after it is wrong."

FACTORS = {
    "missing_1_over_m", "extra_1_over_m", "missing_2", "extra_2", "missing_1_over_k", "extra_1_over_k",
    "learning_rate", "wrong_sign", "constant_factor",
}  # fmt: skip


def root(case: Case, verdicts: Mapping[str, Verdict]) -> str:
    """Return the sentence that says where to begin."""
    wrong = [v for v in verdicts.values() if not v.ok]
    if not wrong:
        return ""
    own = [set(v.codes) for v in wrong]
    shared = sorted(set.intersection(*own) & FACTORS)
    if len(wrong) == len(verdicts) > 1 and shared:
        return (
            f"Every array has the same fault ({', '.join(shared)}): look where all of them come from, in delta of the "
            "output or in the loss. Mend it there, once."
        )
    if case.net is None:
        return "Begin with the arrays nearest to the output, and ask again after each change." if len(wrong) > 1 else ""
    layers = {case.layer(j) or 0: name for j, name in enumerate(case.names) if not verdicts[name].ok}
    l = max(layers)
    own_faults = [v for v in wrong if "inherited" not in v.codes]
    if len(own_faults) == len(wrong):
        return f"Begin in layer {l} of {len(case.net.slots)}." if len(wrong) > 1 else ""
    return f"It begins in layer {l} of {len(case.net.slots)}: what comes before it only inherits a wrong delta."
