"""The lines of algebra that mend a gradient, written in the reader's own names and orientation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from glassnet.insight.rebuilding import Rebuilt

__all__ = ["general_lines", "layer_lines", "network_in_words"]

DERIVATIVES = {"sigmoid": "a{l} * (1 - a{l})", "tanh": "(1 - a{l}**2)", "relu": "(z{l} > 0)"}


def gradient_name(name: str) -> str:
    """Return what a gradient may be called: dW1 for W1, d params[0] for params[0]."""
    return f"d{name}" if re.fullmatch(r"\w+", name) else f"d({name})"


def general_lines(name: str) -> dict[str, str]:
    """Return lines for an array of a network that is not known."""
    return {
        "dW": gradient_name(name), "W": name, "delta": "delta = (delta of the next layer times its weights) * f'(z)",
        "product": "the gradient must have the shape of its parameter: inputs of the layer times its delta",
        "bias": "sum delta over the samples: delta.sum(axis=0), samples in rows",
        "penalty": f"the derivative of l2 * sum(W**2) is 2 * l2 * W, of l2/2 * sum(W**2) it is l2 * W (W = {name})",
    }  # fmt: skip


def layer_lines(net: Rebuilt, names: Sequence[str], l: int, m: int) -> dict[str, str]:
    """Return {"delta": ..., "product": ..., "bias": ..., "penalty": ...} for layer l."""
    slot, last = net.slots[l - 1], l == len(net.slots)
    turned, W = slot.turned, names[slot.weight]
    before = "X" if l == 1 else f"a{l - 1}"
    d = f"delta{l}"
    product = {
        (False, False): f"{before}.T @ {d}", (False, True): f"{d}.T @ {before}",
        (True, True): f"{d} @ {before}.T", (True, False): f"{before} @ {d}.T",
    }[net.columns, turned]  # fmt: skip
    axis = "axis=1, keepdims=True" if net.columns else "axis=0"
    bias = f"db{l}" if slot.bias is None else gradient_name(names[slot.bias])
    lines = general_lines(W) | {
        "product": f"{gradient_name(W)} = {product}", "bias": f"{bias} = {d}.sum({axis})",
        "delta": _output_line(net, m) if last else _hidden_line(net, names, l),
    }  # fmt: skip
    if net.terms.l2:
        lines["penalty"] = f"{gradient_name(W)} = {product} + {2 * net.terms.l2:.6g} * {W}"
        if slot.bias is not None:
            lines["penalty"] += ", biases " + ("likewise" if net.terms.bias_l2 else "without penalty")
    elif net.terms.l1:
        lines["penalty"] = f"{gradient_name(W)} = {product} + {net.terms.l1:.6g} * np.sign({W})"
    return lines


def _hidden_line(net: Rebuilt, names: Sequence[str], l: int) -> str:
    after = net.slots[l]
    W, d = names[after.weight] + (" without its bias" if after.within else ""), f"delta{l + 1}"
    back = {
        (False, False): f"{d} @ {W}.T", (False, True): f"{d} @ {W}", (True, True): f"{W}.T @ {d}",
        (True, False): f"{W} @ {d}",
    }[net.columns, after.turned]  # fmt: skip
    name = net.functions[l - 1].name
    slope = DERIVATIVES.get(name, f"f'(z{{l}}) of {name}").format(l=l)
    return f"delta{l} = ({back}) * {slope}" if name != "identity" else f"delta{l} = {back}"


def _output_line(net: Rebuilt, m: int) -> str:
    l, f = len(net.slots), net.functions[-1].name
    factor = _scale(net.terms.c, m, net.n_outputs)
    if net.matched:
        return f"delta{l} = (a{l} - y){factor}"
    slope = DERIVATIVES.get(f, f"f'(z{{l}}) of {f}").format(l=l)
    first = f"(a{l} - y)" if net.loss.name == "squared_error" else f"dLoss/da{l}"
    if f == "softmax":
        return f"delta{l} = a{l} * (g - sum of a{l} * g over the outputs){factor}, g = {first}"
    return f"delta{l} = {first} * {slope}{factor}" if f != "identity" else f"delta{l} = {first}{factor}"


def _scale(c: float, m: int, k: int) -> str:
    sizes = {"": 1.0, " / m": m, " / (m * k)": m * k, " / k": k}
    for words, size in sizes.items():
        for two, factor in (("", 1.0), (" * 2", 2.0), (" / 2", 0.5)):
            if abs(c * size / factor - 1) < 1e-5:
                return two + words
    return f" * {c:.6g}"


def network_in_words(net: Rebuilt, names: Sequence[str], m: int, sizes: Sequence[int]) -> str:
    """Return the network that was recognised, in a sentence or two."""
    layers = ", ".join(f"{n} {f.name}" for n, f in zip(sizes[1:], net.functions, strict=True))
    where = "columns" if net.columns else "rows"
    weights = "(n_out, n_in)" if net.slots[0].turned else "(n_in, n_out)"
    c, last = f"{net.terms.c:.6g}", len(net.slots)
    half = " with 1/2 before the squares" if net.loss.name == "squared_error" else ""
    text = (
        f"Network recognised by testing: {sizes[0]} inputs, {layers}; weights {weights}; samples are {where} (m = {m});"
        f" loss = {c} * sum of {net.loss.name}{half}"
    )
    penalties: Mapping[str, float] = {
        "sum of W^2": net.terms.l2, "sum of |W|": net.terms.l1, "sum of b^2": net.terms.bias_l2,
    }  # fmt: skip
    text += "".join(f" + {value:.6g} * {what}" for what, value in penalties.items() if value)
    return (
        f"{text}. In the lines above a{last} is the output, z{last} what goes into its activation, delta = dJ/dz; its "
        "factor may stand in the gradients instead, once."
    )
