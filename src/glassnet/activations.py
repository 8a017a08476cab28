"""Activations: the value f(z) and the derivative df(z, a), side by side.

z is the pre-activation, a = f(z) the activation. Where the derivative is shorter in terms of the value, it uses a:
the derivative of the sigmoid is a (1 - a). The first line of each function's docstring is its equation.

The functions are element-wise (softmax, which sees a row, excepted), keep the dtype, give finite values without a
warning for |z| up to 1e4 in float32 and float64, and also take complex z, so that a complex step
h -> Im f(z + ih) / h measures an exact derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from glassnet import registry
from glassnet.arrays import Array
from glassnet.errors import choose, type_fault

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "ActivationLike",
    "get",
    "half_log_max",
    "is_known",
    "sigmoid",
    "softplus",
    "step",
]

RANGES = dict.fromkeys(("real", "nonnegative", "positive", "unit", "simplex"))

Value = Callable[[Array], Array]
Derivative = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Activation:
    """An activation function and its derivative.

    `f(z)` and `df(z, a)` take arrays of any shape (..., n) and return the same shape. `range` says where the values
    lie ("real", "nonnegative", "positive", "unit" = [0, 1], "simplex" = a row of probabilities), so that a loss can
    refuse outputs that it is not defined for. `init` names the initializer that suits the function; `analytic` says
    that it has no kinks.

    A row-wise function (softmax) has a Jacobian (..., n, n) as `df`, and `pull(a, dA)`, the product with it.

    >>> import numpy as np
    >>> square = Activation("square", lambda z: z * z, lambda z, a: 2 * z)
    >>> square.pullback(np.array([3.0]), np.array([9.0]), np.array([1.0]))
    array([6.])
    """

    name: str
    f: Value
    df: Derivative
    range: str = "real"
    init: str = "glorot_uniform"
    analytic: bool = False
    pull: Derivative | None = None
    options: tuple[tuple[str, float], ...] = ()
    takes_complex: bool = False
    """Whether the functions take complex numbers: true of all of the library's."""

    def __post_init__(self) -> None:
        choose("range of an activation", self.range, RANGES)

    def __reduce__(self) -> tuple[object, ...]:
        return registry.reduced(self, get, ACTIVATIONS)

    def pullback(self, z: Array, a: Array, dA: Array) -> Array:
        """Return dL/dz from dL/da: `dA * f'(z)`, or for a row-wise function the product with its Jacobian."""
        if self.df is didentity:
            return dA
        dZ: Array = dA * self.df(z, a) if self.pull is None else self.pull(a, dA)
        return dZ

    @property
    def elementwise(self) -> bool:
        """Whether each value depends on one pre-activation alone."""
        return self.pull is None

    @property
    def equation(self) -> str:
        """The equation of the value, the first line of the function's docstring."""
        return (self.f.__doc__ or "").partition("\n")[0]

    @property
    def derivative(self) -> str:
        """The equation of the derivative."""
        return (self.df.__doc__ or "").partition("\n")[0]


ActivationLike = str | Activation | tuple[Value, Derivative] | Mapping[str, object]


def step(z: Array) -> Array:
    """[z > 0]: 1 where z > 0 and 0 elsewhere, in the dtype of z."""
    return np.asarray(z > 0).astype(np.asarray(z).dtype)


def identity(z: Array) -> Array:
    """z"""
    return z


def didentity(z: Array, a: Array) -> Array:
    """1"""
    return np.ones_like(z)


def sigmoid(z: Array) -> Array:
    """sigma(z) = 1 / (1 + exp(-z))

    Below z = -87 the value is held at sigma(-87) = 1.6e-38, about the smallest that float32 holds in full precision.
    """
    return 1.0 / (1.0 + np.exp(-np.maximum(z, -87.0)))


def dsigmoid(z: Array, a: Array) -> Array:
    """a (1 - a)"""
    return a * (1.0 - a)


def tanh(z: Array) -> Array:
    """tanh z = 2 sigma(2 z) - 1"""
    return np.tanh(z)


def dtanh(z: Array, a: Array) -> Array:
    """1 - a^2"""
    return 1.0 - a * a


def relu(z: Array) -> Array:
    """max(z, 0)"""
    return np.maximum(z, 0.0)


def drelu(z: Array, a: Array) -> Array:
    """[a > 0]

    That is [z > 0]; in terms of a, z need not be kept for the way back.
    """
    return step(a)


def softplus(z: Array) -> Array:
    """ln(1 + exp z) = max(z, 0) + ln(1 + exp(-|z|))"""
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.maximum(z, -z)))


def dsoftplus(z: Array, a: Array) -> Array:
    """sigma(z)"""
    return sigmoid(z)


def silu(z: Array) -> Array:
    """z sigma(z)"""
    return z * sigmoid(z)


def dsilu(z: Array, a: Array) -> Array:
    """s + a (1 - s), s = sigma(z)"""
    s = sigmoid(z)
    return s + a * (1.0 - s)


SLOPE = 0.7978845608028654  # sqrt(2 / pi)
CUBIC = 0.044715


def gelu(z: Array) -> Array:
    """z/2 (1 + tanh u), u = sqrt(2/pi) (z + 0.044715 z^3)

    The tanh form of Hendrycks and Gimpel (2016); the form with the error function differs from it by at most 5e-4.
    """
    return 0.5 * z * (1.0 + np.tanh(SLOPE * (z + CUBIC * z * z * z)))


def dgelu(z: Array, a: Array) -> Array:
    """(1 + t)/2 + z/2 (1 - t^2) u', t = tanh u, u' = sqrt(2/pi) (1 + 3 * 0.044715 z^2)"""
    t = np.tanh(SLOPE * (z + CUBIC * z * z * z))
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * SLOPE * (1.0 + 3.0 * CUBIC * z * z)


def mish(z: Array) -> Array:
    """z tanh(ln(1 + exp z))"""
    return z * np.tanh(softplus(z))


def dmish(z: Array, a: Array) -> Array:
    """t + z (1 - t^2) sigma(z), t = tanh(ln(1 + exp z))"""
    t = np.tanh(softplus(z))
    return t + z * (1.0 - t * t) * sigmoid(z)


def exp(z: Array) -> Array:
    """exp z

    Held constant where the square of the value would overflow (z above 353 in float64, above 43 in float32).
    """
    return np.exp(np.minimum(z, half_log_max(z)))


def dexp(z: Array, a: Array) -> Array:
    """a"""
    return a


def softmax(z: Array) -> Array:
    """a_i = exp(z_i) / sum_j exp(z_j)"""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def dsoftmax(z: Array, a: Array) -> Array:
    """da_i/dz_j = a_i ([i = j] - a_j)

    The whole Jacobian of each row, shape (..., n, n).
    """
    return np.asarray(a[..., :, None] * (np.eye(a.shape[-1], dtype=a.dtype) - a[..., None, :]))


def pull_softmax(a: Array, dA: Array) -> Array:
    """dL/dz_j = a_j (dL/da_j - sum_i a_i dL/da_i)"""
    return np.asarray(a * (dA - (a * dA).sum(axis=-1, keepdims=True)))


@registry.remembered
def leaky_relu(slope: float = 0.01) -> Activation:
    """Return the leaky ReLU, which lets a share `slope` of negative signals through (Maas, Hannun and Ng 2013)."""

    def f(z: Array) -> Array:
        """z if z > 0 else slope z"""
        return np.where(z > 0, z, slope * z)

    def df(z: Array, a: Array) -> Array:
        """1 if z > 0 else slope"""
        return slope + (1.0 - slope) * step(z)

    return Activation(
        "leaky_relu", f, df, init="he_normal", takes_complex=True, options=registry.non_default(slope=(slope, 0.01))
    )


@registry.remembered
def elu(alpha: float = 1.0) -> Activation:
    """Return the exponential linear unit (Clevert, Unterthiner and Hochreiter 2016)."""

    def f(z: Array) -> Array:
        """z if z > 0 else alpha (exp z - 1)"""
        return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0)))

    def df(z: Array, a: Array) -> Array:
        """1 if z > 0 else a + alpha"""
        return np.where(z > 0, 1.0, a + alpha)

    return Activation(
        "elu", f, df, init="he_normal", takes_complex=True, options=registry.non_default(alpha=(alpha, 1.0))
    )


LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772


def selu(z: Array) -> Array:
    """lambda z if z > 0 else lambda alpha (exp z - 1), lambda = 1.0507, alpha = 1.6733

    Self-normalising with LeCun-normal weights (Klambauer, Unterthiner, Mayr and Hochreiter 2017).
    """
    return LAMBDA * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0.0)))


def dselu(z: Array, a: Array) -> Array:
    """lambda if z > 0 else a + lambda alpha"""
    return np.where(z > 0, LAMBDA, a + LAMBDA * ALPHA)


def half_log_max(z: Array) -> float:
    """Return half the logarithm of the largest number of z's dtype (less 1): exp of it can still be squared."""
    return _half_log_max(np.asarray(z).dtype)


@cache
def _half_log_max(dtype: np.dtype[np.generic]) -> float:
    return float(np.log(np.finfo(np.float32 if dtype in (np.float32, np.complex64) else np.float64).max)) / 2 - 1.0


#                 name        f         df         range          init              analytic
FIXED = (
    Activation("identity", identity, didentity, "real", "glorot_uniform", True),
    Activation("sigmoid", sigmoid, dsigmoid, "unit", "glorot_uniform", True),
    Activation("tanh", tanh, dtanh, "real", "glorot_uniform", True),
    Activation("relu", relu, drelu, "nonnegative", "he_normal", False),
    Activation("selu", selu, dselu, "real", "lecun_normal", False),
    Activation("softplus", softplus, dsoftplus, "positive", "glorot_uniform", True),
    Activation("silu", silu, dsilu, "real", "he_normal", True),
    Activation("gelu", gelu, dgelu, "real", "he_normal", True),
    Activation("mish", mish, dmish, "real", "he_normal", True),
    Activation("softmax", softmax, dsoftmax, "simplex", "glorot_uniform", True, pull_softmax),
    Activation("exp", exp, dexp, "positive", "glorot_uniform", True),
)

ACTIVATIONS: Mapping[str, Callable[..., Activation]] = {
    **{activation.name: registry.fixed(replace(activation, takes_complex=True)) for activation in FIXED},
    "leaky_relu": leaky_relu,
    "elu": elu,
}
"""Name -> maker of every activation: the one table for Python, the command line, files and messages."""


def is_known(activation: Activation) -> bool:
    """Whether the activation is one of the library's (with default options), not your own under the same name."""
    return activation.name in ACTIVATIONS and activation == ACTIVATIONS[activation.name]()


def get(spec: ActivationLike) -> Activation:
    """Return the activation for a name, a record, or your own pair `(f, df)` with `a = f(z)` and `df(z, a)`.

    Raises GlassnetError for an unknown name and for a pair that is not two functions.

    >>> get("tanh").derivative
    '1 - a^2'
    >>> get({"name": "leaky_relu", "slope": 0.2}).options
    (('slope', 0.2),)
    """
    if isinstance(spec, Activation):
        return spec
    if isinstance(spec, tuple):
        if len(spec) != 2 or not all(callable(part) for part in spec):
            raise type_fault("activation", "a name or a pair of functions (f, df)", spec)
        return Activation("custom", *spec)
    return registry.make("activation", ACTIVATIONS, spec)
