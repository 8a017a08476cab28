"""engines/compiled.py: your own activations and losses are compiled, or run on the reference all the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import special

from engine_runs import agree, apart, case, check, fallen_back, small
from glassnet import Dense
from glassnet.activations import Activation
from glassnet.arrays import Array

# ---- a user's own functions ---------------------------------------------------------------------------------------

FACTOR, POWER = 0.7, 2


def squash(z: Array) -> Array:
    return z / (1.0 + np.abs(z))


def helped(z: Array) -> Array:
    return FACTOR * squash(z) + 0.1 * z**POWER


def steps(z: Array) -> Array:
    total = z * 0
    for k in range(1, 4):
        total = total + z**k / (10 * k)
    return total


def in_place(z: Array) -> Array:
    a = np.tanh(z)
    a *= 2
    a += 1
    return a


def numbered(slope: float, offset: int) -> tuple[Any, Any]:
    return lambda z: np.where(z > 0, z, slope * z) + offset, lambda z, a: np.where(z > 0, 1.0, slope)


OWN_ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "lambda": (lambda z: np.tanh(z), lambda z, a: 1 - a * a),
    "whole numbers": (lambda z: 2 * z + z**2 / 3, lambda z, a: 2 + 2 * z / 3),
    "whole numbers inside": (lambda z: 1 / (1 + np.exp(-2 * z)), lambda z, a: 2 * a * (1 - a)),
    "whole numbers in tanh": (lambda z: np.tanh(3 * z / 2), lambda z, a: 3 * (1 - np.tanh(3 * z / 2) ** 2) / 2),
    "where": (lambda z: np.where(z > 0, z, 0), lambda z, a: np.where(z > 0, 1, 0)),
    "comparison": (lambda z: z * (z > 0), lambda z, a: (z > 0) * 1.0),
    "boolean derivative": (lambda z: np.maximum(z, 0), lambda z, a: z > 0),
    "both sides": (lambda z: np.where((z > -1) & (z < 1), z, np.sign(z)), lambda z, a: (np.abs(z) < 1) * 1.0),
    "exp, log": (lambda z: np.log(1 + np.exp(z)), lambda z, a: 1 - np.exp(-a)),
    "expm1, log1p": (lambda z: np.log1p(np.expm1(z) ** 2), lambda z, a: np.log1p(z * z)),
    "others of NumPy's": (lambda z: np.sin(np.pi * z) + np.arctan(z), lambda z, a: np.sqrt(1 + z * z) + np.hypot(z, 1)),
    "a ufunc": (np.tanh, lambda z, a: 1.0 - a**2),
    "asarray": (lambda z: np.asarray(np.tanh(z)), lambda z, a: np.asarray(1 - a * a)),
    "another function": (helped, lambda z, a: FACTOR / (1.0 + np.abs(z)) ** 2 + 0.2 * z),
    "a loop": (steps, lambda z, a: np.ones_like(z)),
    "in place": (in_place, lambda z, a: np.zeros_like(z) + 2 - (a - 1) ** 2 / 2),
    "closure": numbered(0.3, 1),
    "another closure": numbered(0.1, -2),
    "NumPy's numbers": numbered(np.float64(0.2), np.int64(1)),
    "builtin abs": (lambda z: abs(z) / 2, lambda z, a: np.sign(z) / 2),
}


@pytest.mark.parametrize("own", OWN_ACTIVATIONS)
def test_an_activation_of_your_own_is_compiled(own: str) -> None:
    agree(small(OWN_ACTIVATIONS[own]))
    agree(small("tanh", OWN_ACTIVATIONS[own]), epochs=1)


def pinball(q: float) -> tuple[Any, Any]:
    return lambda a, y: np.where(y > a, q * (y - a), (q - 1) * (y - a)), lambda a, y: np.where(y > a, -q, 1 - q)


OWN_LOSSES: dict[str, tuple[Any, Any]] = {
    "lambda": (lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y)),
    "log-cosh": (lambda a, y: np.log(np.cosh(a - y)), lambda a, y: np.tanh(a - y)),
    "closure": pinball(0.8),
    "another closure": pinball(0.3),
    "negative": (lambda a, y: a * y, lambda a, y: y),
}


@pytest.mark.parametrize("own", OWN_LOSSES)
def test_a_loss_of_your_own_is_compiled(own: str) -> None:
    agree(small(loss=OWN_LOSSES[own]))
    agree(small("tanh", "softmax", OWN_LOSSES[own]))
    agree(small("tanh", OWN_ACTIVATIONS["lambda"], OWN_LOSSES[own], l2=0.1), sample_weight=np.arange(41.0))


def times(s: float) -> list[tuple[str, Any]]:
    """The same code with another number in it, held in every way in which a function can hold one."""
    array, long = np.array([s]), np.zeros(3000)
    long[1500] = s
    return [
        ("closure", lambda z: s * np.tanh(z)),
        ("default", lambda z, s=s: s * np.tanh(z)),
        ("array", lambda z: array[0] * np.tanh(z)),
        ("long array", lambda z: long[1500] * np.tanh(z)),
        ("tuple", lambda z, s=(1.0, s): s[1] * np.tanh(z)),
        ("keyword", keyword(s)),
        ("partial", partial(lambda s, z: s * np.tanh(z), s)),
        ("global", exec_global(s)),
    ]


def keyword(s: float) -> Any:
    def f(z: Array, *, s: float = s) -> Array:
        return s * np.tanh(z)

    return f


def exec_global(s: float) -> Any:
    names: dict[str, Any] = {"np": np, "SCALE": s}
    exec("def f(z):\n    return SCALE * np.tanh(z)\n", names)
    return names["f"]


@pytest.mark.parametrize("numbers", [(1.0, 3.0), (0.1234567891, 0.1234567899)])
def test_the_same_code_with_another_number_is_another_function(numbers: tuple[float, float]) -> None:
    """Kernels are kept by what a function is: one that only looks the same must not stand for it."""
    for pair in zip(*(times(s) for s in numbers), strict=True):
        for kind, f in pair:
            own = small((f, lambda z, a: np.ones_like(z)))
            far = apart(own.run("numba").theta, own.run("numpy").theta)
            assert far <= 1e-12, kind


def test_a_function_that_changes_between_runs_is_compiled_again() -> None:
    names: dict[str, Any] = {"np": np, "SCALE": 1.0}
    exec("def f(z):\n    return SCALE * np.tanh(z)\n", names)
    own = small((names["f"], lambda z, a: np.ones_like(z)))
    agree(own, np.float64)
    names["SCALE"] = 2.0
    agree(own, np.float64)


# ---- what cannot be compiled --------------------------------------------------------------------------------------

NAMED = {"tanh": np.tanh}


class Squasher:
    scale = 1.0

    def f(self, z: Array) -> Array:
        return self.scale * np.tanh(z)

    def __call__(self, z: Array) -> Array:
        return self.scale * np.tanh(z)


def tried(z: Array) -> Array:
    try:
        return np.tanh(z)
    except ValueError:
        return z


def counted(z: Array) -> Array:
    global COUNT
    COUNT = 1
    return np.tanh(z)


def masked(z: Array) -> Array:
    a = z.copy()
    a[a < 0] = 0
    return a


COUNT = 0
UNLIKE: dict[str, Any] = {
    "rows": lambda z: z - z.max(axis=-1, keepdims=True),
    "sum of all": lambda z: z - np.sum(z, axis=-1, keepdims=True),
    "reduce": lambda z: z - np.add.reduce(z, axis=-1, keepdims=True),
    "shape": lambda z: z / z.shape[-1],
    "numbers of its own": lambda z: z * np.arange(z.shape[-1]) / 10,
    "a dictionary": lambda z: NAMED["tanh"](z),
    "a method": Squasher().f,
    "an object": Squasher(),
    "an attribute": lambda z: Squasher.scale * np.tanh(z),
    "partial": partial(lambda s, z: s * np.tanh(z), 2.0),
    "try": tried,
    "a global that is written": counted,
    "mask": masked,
    "out": lambda z: np.tanh(z, out=np.empty_like(z)),
    "a function inside": lambda z: (lambda u: np.tanh(u))(z),
    "another library's ufunc": special.erf,
    "another library's ufunc inside": lambda z: special.erf(z),
    "no ufunc": lambda z: np.real(np.tanh(z)),
    "another dtype": lambda z: np.tanh(z.astype(np.float64)).astype(z.dtype),
}  # fmt: skip


@pytest.mark.parametrize("own", UNLIKE)
def test_what_cannot_be_compiled_runs_all_the_same(own: str) -> None:
    """On the reference, to the bit; or compiled, where the engine has learnt it since."""
    for layers in (
        [Dense(5, (UNLIKE[own], lambda z, a: np.ones_like(z))), Dense(4)],
        [Dense(4, (UNLIKE[own], helped2))],
    ):
        own_case = case(layers).but(epochs=1)
        check(own_case.run("numba"), own_case.run("numpy"), 1e-12)


def helped2(z: Array, a: Array) -> Array:
    return np.ones_like(a)


@pytest.mark.parametrize("kind", ["clip", "float32"])
def test_numpys_functions_that_are_no_ufuncs(kind: str) -> None:
    f = {"clip": lambda z: np.clip(z, -1.0, 1.0), "float32": lambda z: np.float32(2.0) * np.tanh(z)}[kind]
    own = small((f, lambda z, a: np.ones_like(z)))
    check(own.run("numba"), own.run("numpy"), 1e-12)


ROWWISE = Activation(
    "own softmax",
    lambda z: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True),
    lambda z, a: a[..., :, None] * (np.eye(a.shape[-1]) - a[..., None, :]),
    pull=lambda a, dA: a * (dA - (a * dA).sum(axis=-1, keepdims=True)),
)


@pytest.mark.parametrize("layers", [[Dense(5, ROWWISE), Dense(4)], [Dense(5, "tanh"), Dense(4, ROWWISE)]])
def test_a_row_wise_activation_of_your_own_falls_back(layers: list[Any]) -> None:
    own = case(layers)
    check(fallen_back(own), own.run("numpy"), 0.0)


ROW_LOSSES: dict[str, tuple[Any, Any]] = {
    "sees rows": (lambda a, y: (a - y) ** 2 + 0 * a.sum(-1, keepdims=True), lambda a, y: 2 * (a - y)),
    "weighs outputs": (
        lambda a, y: np.array([1, 2, 3, 4]) * (a - y) ** 2,
        lambda a, y: np.array([2, 4, 6, 8]) * (a - y),
    ),
}


@pytest.mark.parametrize("own", ROW_LOSSES)
def test_a_loss_that_sees_more_than_one_output_falls_back(own: str) -> None:
    check(fallen_back(small(loss=ROW_LOSSES[own])), small(loss=ROW_LOSSES[own]).run("numpy"), 0.0)
