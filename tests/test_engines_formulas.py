"""engines/formulas.py: the same formula for one number, and a fingerprint that changes whenever the formula does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassnet import losses
from glassnet.activations import ACTIVATIONS
from glassnet.activations import get as activation
from glassnet.engines.formulas import fingerprint, looks_at, register, scalar
from glassnet.losses import LOSSES
from glassnet.optimizers import RULES

TYPES = [np.float32, np.float64]
Z = np.concatenate([np.linspace(-30, 30, 301), [0.0, -0.0, 1e-8, -1e-8, 400.0, -400.0]])


# ---- the same formula ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if activation(name).elementwise])
def test_an_activation_of_one_number_is_that_of_an_array(name: str, dtype: type) -> None:
    function, z = activation(name), Z.astype(dtype)
    f, df = scalar(function.f, dtype), scalar(function.df, dtype)
    a = function.f(z)
    eps = 64 * np.finfo(dtype).eps  # 1 - tanh^2 and the like, which z multiplies, have lost some digits
    np.testing.assert_allclose([f(x) for x in z], a, rtol=eps, atol=eps)
    np.testing.assert_allclose([df(x, y) for x, y in zip(z, a, strict=True)], function.df(z, a), rtol=eps, atol=eps)


def test_which_derivatives_are_functions_of_a_alone() -> None:
    """Found in the code, and witnessed by numbers: those that do not look at z do without it."""
    for name in ACTIVATIONS:
        function = activation(name)
        if not function.elementwise or looks_at(function.df, 0):
            continue
        a = function.f(Z)
        np.testing.assert_array_equal(function.df(np.full_like(Z, np.nan), a), function.df(Z, a), err_msg=name)
    alone = {name for name in ACTIVATIONS if activation(name).elementwise and not looks_at(activation(name).df, 0)}
    assert alone == {"sigmoid", "tanh", "relu", "exp"}
    assert looks_at(np.hypot, 0), "code that cannot be read"
    assert looks_at(lambda z, a: sum(z for _ in range(2)), 0), "in a function within"
    assert looks_at(lambda z, a: (lambda: z)(), 0)


@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_are_of_the_dtype(dtype: type) -> None:
    """As NumPy treats them: 1.0 - a of a float32 is a float32."""
    for f in (lambda z: 1.0 - 0.1 * z, activation("gelu").f, activation("elu").f, activation("selu").df):
        arguments = (dtype(0.3),) * f.__code__.co_argcount
        result = scalar(f, dtype)(*arguments)
        assert dtype(result) == result


@pytest.mark.parametrize("dtype", TYPES)
def test_the_functions_of_numpy_that_a_formula_calls_are_those_for_its_dtype(dtype: type) -> None:
    """Whole numbers make a float32 a float64 inside a compiled formula: its exp must be one for float64, too."""
    formulas: list[Callable[[Any], Any]] = [
        lambda z: 1 / (1 + np.exp(-2 * z)), lambda z: np.tanh(3 * z), lambda z: np.log(1 + z * z),
        lambda z: np.expm1(z / 2 + 1), lambda z: np.log1p(2 * z * z), lambda z: np.maximum(2 * z, 1),
        lambda z: np.where(z > 0, 2 * z, z) + np.sign(3 * z),
    ]  # fmt: skip
    z = np.linspace(-5, 5, 101).astype(dtype)
    for i, f in enumerate(formulas):
        one = scalar(f, dtype)
        np.testing.assert_allclose([one(x) for x in z], f(z), rtol=20 * np.finfo(dtype).eps, err_msg=str(i))


# ---- fingerprints -------------------------------------------------------------------------------------------------

DEEP = 1.0


def made(source: str, **names: Any) -> Any:
    """A function from its source, with its own globals."""
    names = {"np": np, **names}
    exec(source, names)
    return names["f"]


def closure(*numbers: Any) -> Any:
    if len(numbers) == 2:
        a, b = numbers
        return lambda z: a * z + b
    (a,) = numbers
    return lambda z: a * z


PAIRS: dict[str, tuple[Any, Any]] = {
    "code": (lambda z: z + z, lambda z: z * z),
    "constant": (lambda z: z + 1.0, lambda z: z + 2.0),
    "kind of constant": (lambda z: z + 1, lambda z: z + 1.0),
    "sign of zero": (lambda z: z + 0.0, lambda z: z + -0.0),
    "function of NumPy": (lambda z: np.sin(z), lambda z: np.cos(z)),
    "number of arguments": (lambda z: z, lambda z, a: z),
    "order of arguments": (lambda z, a: z - a, lambda a, z: z - a),
    "closure": (closure(1.0), closure(2.0)),
    "closure, last digit": (closure(0.1), closure(np.nextafter(0.1, 1))),
    "closures, cut elsewhere": (closure(1.0, 11), closure(1.01, 1)),
    "closure of an array": (closure(np.array([0.1])), closure(np.array([np.nextafter(0.1, 1)]))),
    "closure of a long array": (closure(np.zeros(5000)), closure(np.eye(1, 5000, 2500)[0])),
    "closure of a function": (closure(lambda z: z), closure(lambda z: 2 * z)),
    "closure of a function's closure": (closure(closure(1.0)), closure(closure(2.0))),
    "default": (made("f = lambda z, s=1.0: s * z"), made("f = lambda z, s=2.0: s * z")),
    "keyword": (made("def f(z, *, s=1.0): return s * z"), made("def f(z, *, s=2.0): return s * z")),
    "global": (made("def f(z): return S * z", S=1.0), made("def f(z): return S * z", S=2.0)),
    "called function": (
        made("def g(z): return z + 1.0\ndef f(z): return g(z)"),
        made("def g(z): return z + 2.0\ndef f(z): return g(z)"),
    ),
    "called function's global": (
        made("def g(z): return S * z\ndef f(z): return g(z)", S=1.0),
        made("def g(z): return S * z\ndef f(z): return g(z)", S=2.0),
    ),
    "function inside": (lambda z: (lambda u: u + 1.0)(z), lambda z: (lambda u: u + 2.0)(z)),
    "tuple": (lambda z: z * (1.0, 2.0)[1], lambda z: z * (1.0, 3.0)[1]),
}  # fmt: skip


@pytest.mark.parametrize("part", PAIRS)
def test_a_fingerprint_changes_with(part: str) -> None:
    one, two = PAIRS[part]
    assert fingerprint(one) != fingerprint(two)


def test_the_same_formula_has_the_same_fingerprint() -> None:
    assert fingerprint(closure(0.25)) == fingerprint(closure(0.25))
    assert fingerprint(made("def f(z): return S * z", S=1.0)) == fingerprint(made("def f(z): return S * z", S=1.0))
    assert fingerprint(lambda z: z + 1.5) == fingerprint(lambda z: z + 1.5)


def test_a_formula_that_calls_itself_has_a_fingerprint() -> None:
    again = made("def f(z, n): return z if n == 0 else f(z, n - 1)")
    assert len(fingerprint(again)) == 16


def test_no_two_of_the_librarys_formulas_are_taken_for_each_other() -> None:
    """Unless they are the same: y - a is the same slope wherever it is written."""
    functions = [activation(name).f for name in ACTIVATIONS]
    functions += [losses.get(name).value for name in LOSSES]
    functions += [RULES[name]().formula for name in RULES]
    assert len({fingerprint(f) for f in functions}) == len(functions)


def test_options_are_part_of_the_fingerprint() -> None:
    for name, option, values in (
        ("huber", "delta", (0.5, 2.0)),
        ("quantile", "q", (0.1, 0.9)),
        ("focal", "gamma", (1.0, 3.0)),
    ):
        one, two = (losses.get({"name": name, option: value}) for value in values)
        assert fingerprint(one.value) != fingerprint(two.value)
        assert fingerprint(one.slope) != fingerprint(two.slope)
    half, third = (losses.scaled(losses.get("huber"), factor) for factor in (1 / 2, 1 / 3))
    assert fingerprint(half.value) != fingerprint(third.value)


def test_a_formula_is_registered_for_a_dtype() -> None:
    f = activation("tanh").f
    assert register(f, np.float32) != register(f, np.float64)
    assert register(f, np.float64) == register(f, np.float64)
    assert fingerprint(f) in register(f, np.float64)


ASK = """
from glassnet.activations import ACTIVATIONS, get
from glassnet import losses
from glassnet.losses import LOSSES
from glassnet.optimizers import RULES
from glassnet.engines.formulas import fingerprint
found = [fingerprint(f) for name in ACTIVATIONS for f in (get(name).f, get(name).df)]
found += [fingerprint(f) for name in LOSSES for f in (losses.get(name).value, losses.get(name).slope)]
found += [fingerprint(losses.get(name).matched.delta) for name in LOSSES if losses.get(name).matched]
found += [fingerprint(RULES[name]().formula) for name in RULES]
print(*found)
"""


def test_another_process_gives_the_same_fingerprints(tmp_path: Path) -> None:
    """Another place, another seed of hashing: what was compiled by one process serves the next."""
    asked = [
        subprocess.run(
            [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PATH": ""},
        ).stdout.split()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert len(asked[0]) > 50
    assert asked[0] == asked[1]
    assert fingerprint(activation("identity").f) == asked[0][0]
