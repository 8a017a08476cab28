"""What is said about each array of a gradient: the fault by name, the evidence, and the line that mends it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from glassnet.insight.foreign import Problem

__all__ = ["FAULTS", "GradientDiagnosis", "Verdict"]

FAULTS: Mapping[str, tuple[str, str]] = {
    "right": ("It is right.", ""),
    "inherited": (
        "Its own line is right, but the delta that it receives from the layers after it is wrong.",
        "Nothing here: mend the layer named above.",
    ),
    "missing_1_over_m": (
        "It is m times too large: the loss is a mean over the samples, the gradient a sum.", "Divide by m, once.",
    ),
    "extra_1_over_m": (
        "It is m times too small: a mean over the samples where the loss asks for the sum (or 1/m twice).",
        "Take one division by m (or .mean) out.",
    ),
    "fixed_m": (
        "It is right for this number of samples alone: a fixed number stands where m belongs.",
        "Divide by len(X), not by a number.",
    ),
    "missing_2": (
        "It is half of what it should be: the derivative of (a - y)^2 is 2 (a - y).",
        "Multiply by 2, or put 1/2 before the squares of the loss.",
    ),
    "extra_2": (
        "It is twice what it should be. With 1/2 before the squares of the loss the 2 cancels; cross-entropy has none.",
        "Take the 2 out (or, with squares, the 1/2 of the loss).",
    ),
    "missing_1_over_k": (
        "It is k (outputs) times too large: the loss is a mean over the outputs too.", "Divide by k as well.",
    ),
    "extra_1_over_k": (
        "It is k (outputs) times too small: the loss adds up over the outputs.", "Take the division by k out.",
    ),
    "learning_rate": (
        "A learning rate is left in it.", "Return the bare gradient; the rate belongs into `W -= rate * dW`.",
    ),
    "wrong_sign": (
        "It has the wrong sign: it points downhill.", "Change its sign (the error is a - y, not y - a).",
    ),
    "constant_factor": ("It is wrong by a constant factor.", "Look for a number that is not in the loss."),
    "updated_params": (
        "It is no gradient: it is the parameter after a step of gradient descent.",
        "Return {dW}, and make the step outside.",
    ),
    "transposed": ("It is transposed.", "Return its transpose, or turn the product round: {product}"),
    "bias_not_summed": ("It is not summed over the samples.", "{bias}"),
    "wrong_shape": (
        "Its numbers are right but its shape is not that of the parameter: broadcasting may spoil the update.",
        "{dW} = {dW}.reshape({W}.shape)",
    ),
    "shape_unknown": ("Its shape is not that of the parameter.", "{product}"),
    "missing": ("No gradient was returned for it.", "Return one under its name."),
    "zero": ("It is all zeros where the loss does change.", "It was never filled in: {product}"),
    "non_finite": ("It holds NaN or infinity.", "Look for 0/0, log(0) and exp of large numbers on the way back."),
    "missing_derivative": ("The derivative of the activation is missing from its delta.", "{delta}"),
    "extra_derivative": (
        "Its delta is multiplied by a derivative of the output too many: with this loss it has cancelled.", "{delta}",
    ),
    "derivative_twice": ("The derivative of the activation is applied twice.", "{delta}"),
    "derivative_at_a": (
        "The derivative is taken at a instead of z: a function that takes z was given a.", "{delta}",
    ),
    "derivative_at_z": (
        "The derivative is taken at z where its formula wants a: a function that takes a was given z.", "{delta}",
    ),
    "activation_for_derivative": ("The activation stands where its derivative belongs.", "{delta}"),
    "derivative_inverted": ("The derivative of the ReLU is the wrong way round: 1 where z > 0, not below.", "{delta}"),
    "wrong_derivative": ("The derivative is that of another activation.", "{delta}"),
    "softmax_twice": (
        "The derivative of the softmax is applied twice: delta = a - y holds it already.", "{delta}",
    ),
    "softmax_diagonal": ("Of the softmax's derivative only the diagonal a (1 - a) was used.", "{delta}"),
    "another_loss": ("Its delta belongs to another loss than the one you compute.", "{delta}"),
    "targets_missing": ("The targets are missing from delta.", "{delta}"),
    "derivative_of_layer": ("The derivative is taken in another layer.", "{delta}"),
    "weights_not_transposed": ("The weights on the way back are not transposed.", "{delta}"),
    "weights_left_out": ("The weights are missing on the way back.", "{delta}"),
    "weights_reshaped": ("The weights on the way back are reshaped where they should be transposed.", "{delta}"),
    "weights_of_layer": ("The weights of another layer are used on the way back.", "{delta}"),
    "last_sample_only": (
        "It is the gradient of the last sample alone.", "In the loop over samples write += where = stands.",
    ),
    "first_sample_only": (
        "It is the gradient of the first sample alone.", "Go through all samples, or take the sum over them.",
    ),
    "product_of_sums": (
        "It is a product of sums: activations and deltas were added up (or averaged) before they were multiplied.",
        "Multiply sample by sample, then add: {product}",
    ),
    "samples_mixed": (
        "Samples are mixed: a reshape (or a product without .T) pairs activations of one sample with deltas of others.",
        "{product}",
    ),
    "z_for_a": ("z of the layer before stands where its activation a belongs.", "{product}"),
    "input_of_layer": ("The activation of another layer is used: one layer early or late.", "{product}"),
    "delta_of_layer": ("The delta of another layer is used: one layer early or late.", "{product}"),
    "summed_over_units": ("It is summed over the units: the wrong axis.", "{bias}"),
    "swapped": ("It is the gradient of another array.", "Return each gradient in its own place."),
    "penalty_missing": ("The penalty is in the loss but not in this gradient.", "{penalty}"),
    "penalty_without_2": ("The penalty's derivative lacks its 2 (or its loss the 1/2).", "{penalty}"),
    "penalty_twice": ("The penalty counts twice in this gradient: a factor 2 too many.", "{penalty}"),
    "penalty_sign": ("The penalty has the wrong sign in this gradient.", "{penalty}"),
    "penalty_factor": ("The penalty has another strength in this gradient than in the loss.", "{penalty}"),
    "penalty_only_in_gradient": (
        "A penalty is in this gradient but not in the loss.", "Add it to the loss, or take it out of {dW}.",
    ),
    "kink": ("It cannot be judged here: J has a kink at this point (ReLU at z = 0).", "Start from other weights."),
    "too_coarse": (
        "It cannot be judged: rounding shakes the loss too much for differences.", "Compute in float64 throughout.",
    ),
    "nearly_right": (
        "It is nearly right: a small constant such as log(a + 1e-5), or single precision, may explain the rest.",
        "Make the loss and the gradient use the same constant.",
    ),
    "unknown": ("It is wrong, and by none of the known mistakes alone.", "{product}"),
}  # fmt: skip
"""Code -> what is wrong, and what mends it ({delta}, {product}, {bias}, {penalty}: lines for the layer)."""


SHOWN = 4
"""Arrays of one verdict whose numbers are printed."""


@dataclass(frozen=True)
class Verdict:
    """One array: `codes` of its faults ("right" alone if there is none), in `words`, with what would `mend` it.

    name, shape        the array, as the user calls it
    confidence         "certain", "likely" (other faults give the same numbers: `rivals`) or "unsure"
    error              the largest |yours - measured| over the largest |measured|, at `index`
    yours, measured    the two numbers there
    residual           what is left of the error when the named fault is taken into account
    n_compared         entries that were measured
    received           the shape of the gradient that was returned; None where there was none
    nearby             the numbers are those at parameters near yours: at yours, where both may be 0, nothing is seen
    """

    name: str
    shape: tuple[int, ...]
    codes: tuple[str, ...]
    words: str
    mend: str
    confidence: str
    rivals: tuple[str, ...]
    error: float
    index: tuple[int, ...]
    yours: float
    measured: float
    residual: float
    n_compared: int
    received: tuple[int, ...] | None
    nearby: bool = False

    @property
    def code(self) -> str:
        """The codes as one word: "wrong_sign+missing_1_over_m"."""
        return "+".join(self.codes)

    @property
    def ok(self) -> bool:
        """Whether the array is right."""
        return self.codes == ("right",)

    @property
    def evidence(self) -> str:
        """The numbers behind the verdict."""
        if self.ok:
            return f"agrees to {_digits(self.error)}"
        if self.received is None:
            return "nothing was returned"
        parts = [] if self.received == self.shape else [f"shape {self.received} where {self.shape} belongs"]
        if self.error == float("inf"):
            return "; ".join(parts) or "it cannot be compared"
        if self.error > 1e-9 or not parts:
            where = "your parameters hide it; near them, " if self.nearby else ""
            at = f"{where}at {list(self.index)} " if self.index else where
            right = "the right one is" if self.nearby else "measured"
            parts.append(f"{at}yours is {self.yours:.6g}, {right} {self.measured:.6g}")
            if self.residual < float("inf"):
                parts.append(f"without this fault they agree to {_digits(self.residual)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class GradientDiagnosis:
    """What `debug_gradients` found: `verdicts` by name of the array, `problems` of the function as a whole.

    `network` is the network in words, where it was recognised; `begins` the sentence that says where to begin.
    """

    verdicts: Mapping[str, Verdict]
    problems: tuple[Problem, ...]
    network: str
    begins: str
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every array is right and nothing else is amiss."""
        return bool(self.verdicts) and not self.problems and all(v.ok for v in self.verdicts.values())

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        wrong = sum(not v.ok for v in self.verdicts.values())
        if not self.verdicts:
            return "The gradients cannot be checked yet."
        if wrong:
            if len(self.verdicts) == 1:
                return "The gradient needs attention."
            return f"{wrong} of {len(self.verdicts)} gradients {'needs' if wrong == 1 else 'need'} attention."
        some = f"All {len(self.verdicts)} gradients are" if len(self.verdicts) > 1 else "The gradient is"
        return f"{some} right." + (" But the function has a fault." if self.problems else "")

    def __str__(self) -> str:
        lines = [self.headline]
        for problem in self.problems:
            lines += ["", _wrap(f"PROBLEM {problem.code}: {problem.words}", ""), _wrap(f"mend: {problem.remedy}", "  ")]
        if self.begins:
            lines += ["", _wrap(self.begins, "")]
        for group in self.groups():
            first = group[0]
            names = ", ".join(f"{v.name} {v.shape}" for v in group)
            lines += ["", _wrap(f"{names}: {first.code} ({first.confidence})", ""), _wrap(first.words, "    what: ")]
            lines += [_wrap(first.mend, "    mend: ")] if first.mend else []
            for i, v in enumerate(group[:SHOWN]):
                lines.append(_wrap(f"{v.name} {v.evidence}", "          " if i else "    seen: "))
            lines += [f"          and likewise {len(group) - SHOWN} more"] if len(group) > SHOWN else []
            lines += [_wrap("the same numbers: " + ", ".join(first.rivals), "    or:   ")] if first.rivals else []
        right = [f"{v.name} {v.shape} {v.evidence}" for v in self.verdicts.values() if v.ok]
        lines += ["", _wrap("; ".join(right), "right: ")] if right else []
        lines += ["", _wrap(self.network, "")] if self.network else []
        return "\n".join([*lines, *(_wrap(note, "") for note in self.notes)])

    def groups(self) -> list[list[Verdict]]:
        """Return the verdicts that are not "right", those that say the same together; what is inherited comes last."""
        found: dict[tuple[tuple[str, ...], str, str], list[Verdict]] = {}
        for v in self.verdicts.values():
            if not v.ok:
                found.setdefault((v.codes, v.words, v.mend), []).append(v)

        def late(group: list[Verdict]) -> int:
            codes = group[0].codes
            return 2 if codes == ("inherited",) else int("inherited" in codes)

        return sorted(found.values(), key=late)

    def _repr_html_(self) -> str:
        left = "style='text-align:left;vertical-align:top;white-space:normal;max-width:28em"
        right = [v for v in self.verdicts.values() if v.ok]
        rows = ""
        for group in [*self.groups(), *([right] if right else [])]:
            v, names = group[0], "<br>".join(escape(f"{v.name} {v.shape}").replace(" ", "&nbsp;") for v in group)
            mend = f"<br><code>{escape(v.mend)}</code>" if v.mend else ""
            mend += f"<br>The same numbers: {escape(', '.join(v.rivals))}" if v.rivals else ""
            seen = "<br>".join(escape(v.evidence if v.ok else f"{v.name} {v.evidence}") for v in group)
            colour = "#00694c" if v.ok else "#a83f00"
            rows += (
                f"<tr><th {left}'>{names}</th><td {left};color:{colour}'><b>{escape(v.code).replace('+', '+<wbr>')}</b>"
                f"{'' if v.ok else f'<br>{v.confidence}'}</td><td {left}'>{escape(v.words)}{mend}</td>"
                f"<td {left}'>{seen}</td></tr>"
            )
        problems = "".join(
            f"<p><b>{escape(p.code)}</b>: {escape(p.words)} <i>{escape(p.remedy)}</i></p>" for p in self.problems
        )
        heads = "".join(f"<th {left}'>{h}</th>" for h in ("array", "verdict", "what, and what mends it", "seen"))
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        rest = "".join(f"<p>{escape(text)}</p>" for text in (self.network, *self.notes) if text)
        return (
            f"<div class='glassnet'><p><b>{escape(self.headline)}</b></p>{problems}"
            f"<p>{escape(self.begins)}</p>{table}{rest}</div>"
        )


def _digits(error: float) -> str:
    """Return how far two numbers agree; beyond eight digits differences of a loss say nothing.

    >>> _digits(3e-11), _digits(2e-5)
    ('8 digits', '4 digits')
    """
    return f"{int(-np.log10(min(max(error, 1e-8), 1.0)))} digits"


def _wrap(text: str, lead: str) -> str:
    return textwrap.fill(
        text, 110, initial_indent=lead, subsequent_indent=" " * len(lead), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
