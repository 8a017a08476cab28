"""The objective, written once: what every solver and every batch size minimises.

    J(theta) = sum_i w_i loss_i / sum_i w_i  +  l1 |W|_1  +  l2/2 |W|^2

loss_i is the sum over the outputs of sample i; the penalties see weights, never biases. A mini-batch estimates the
first term; the penalty is never divided by the size of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from glassnet import activations, losses
from glassnet.arrays import Array, Seed, as_matrix, as_rows, as_weights
from glassnet.engines import Engine, get_engine
from glassnet.errors import fault
from glassnet.layers import Mode, Noise
from glassnet.losses import Loss, LossLike
from glassnet.network import PREDICT, Network, Trace, Work
from glassnet.records import Record

__all__ = ["Objective"]


@dataclass(frozen=True)
class Objective(Record):
    """A network, a loss and a penalty: `value_and_grad(theta, X, Y)`.

    `loss` is a name, a `Loss`, or your own pair `(value, slope)`. Raises GlassnetError where the output activation can
    leave the domain of the loss (tanh outputs under a cross-entropy), and for negative penalties.

    >>> import numpy as np
    >>> from glassnet import Dense, Network
    >>> objective = Objective(Network(1, [Dense(1)]), "squared_error", l2=0.5)
    >>> theta = np.array([2.0, 0.0])                      # the line 2 x + 0
    >>> J, gradient = objective.value_and_grad(theta, [[1.0]], [[1.0]])
    >>> float(J), gradient                                # (2 - 1)^2 / 2 + 0.5/2 * 2^2;  (2 - 1) x + 0.5 * 2
    (1.5, array([2., 1.]))
    """

    net: Network
    loss: LossLike
    l1: float = field(default=0.0, kw_only=True)
    l2: float = field(default=0.0, kw_only=True)
    engine: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        for name, strength in (("l1", self.l1), ("l2", self.l2)):
            if not 0 <= strength < np.inf:
                raise fault(name, "at least 0 and finite", strength)
        if not isinstance(self.loss, str):
            object.__setattr__(self, "loss", losses.get(self.loss))
        output = self.net.layers[-1].function
        self.loss_record.check_output(output.range, output.name)
        if output.range == "simplex" and self.net.n_outputs == 1:
            raise fault("a softmax output", "of at least 2 units", 1, "One unit: 'sigmoid' with binary_cross_entropy.")
        if not self.loss_record.takes_complex:
            self._check_own_loss()
        get_engine(self.engine)

    def _check_own_loss(self) -> None:
        """Call a loss of your own once: it must give one cost for each output."""
        a = self.net.layers[-1].function.f(np.zeros((2, self.net.n_outputs)))
        for name, function in (("value", self.loss_record.value), ("slope", self.loss_record.slope)):
            with np.errstate(all="ignore"):  # only the shape is asked for
                shape = np.shape(function(a, a))
            if shape != a.shape:
                raise fault(f"{name} of your loss", f"one number for each output, {a.shape} here", shape)

    @cached_property
    def loss_record(self) -> Loss:
        """The loss with its functions."""
        return losses.get(self.loss)

    @cached_property
    def run_on(self) -> Engine:
        """The engine that evaluates the network."""
        return get_engine(self.engine)

    @cached_property
    def matched(self) -> losses.Matched | None:
        """The form of the loss in terms of z, where it belongs to the output activation."""
        pair = self.loss_record.matched
        same = pair is not None and self.net.layers[-1].function == activations.get(pair.activation)
        return pair if same else None

    # ---- for everyone: checked ------------------------------------------------------------------------------------

    def value(
        self,
        theta: Array,
        X: npt.ArrayLike,
        Y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        state: Array | None = None,
        training: bool = False,
        rng: Seed | Noise = None,
    ) -> Array:
        """Return J, a scalar for theta (P,) or (S,) for a stack (S, P). Arguments as in `value_and_grad`."""
        rows, targets, weights = self.check(X, Y, sample_weight)
        trace = self.run_on.forward(self.net, np.asarray(theta), rows, state, Mode.of(training, rng))
        return self.data_term(trace, targets, weights) + self.penalty(np.asarray(theta))

    def value_and_grad(
        self,
        theta: Array,
        X: npt.ArrayLike,
        Y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        state: Array | None = None,
        training: bool = False,
        rng: Seed | Noise = None,
    ) -> tuple[Array, Array]:
        """Return J and dJ/dtheta for X (m, d), Y (m, k), sample_weight (m,).

        theta (P,) gives a scalar and (P,); a stack (S, P) gives (S,) and (S, P). `training` switches Dropout and
        BatchNorm to training, with noise from `rng`; `state` holds BatchNorm's running statistics.

        Raises GlassnetError for shapes that do not fit, NaN or infinity, and targets that the loss has no meaning for.
        """
        rows, targets, weights = self.check(X, Y, sample_weight)
        J, grad, _ = self.evaluate(np.asarray(theta), rows, targets, weights, state, Mode.of(training, rng))
        return J, grad

    def residuals(self, theta: Array, X: npt.ArrayLike, Y: npt.ArrayLike, *, state: Array | None = None) -> Array:
        """Return a - y (m, k), the residuals that a squared error sums; raises GlassnetError for another loss."""
        if self.loss_record.square is None:
            raise fault("the loss", "squared_error for residuals", self.loss_record.name)
        rows, targets, _ = self.check(X, Y)
        return self.run_on.forward(self.net, theta, rows, state, PREDICT).output - targets

    def jacobian(self, theta: Array, X: npt.ArrayLike, *, state: Array | None = None) -> Array:
        """Return the derivatives of the outputs by the parameters, (m, k, P)."""
        return self.run_on.jacobian(self.net, theta, as_matrix("X", X, self.net.n_inputs), state)

    def hessian_product(
        self,
        theta: Array,
        direction: Array,
        X: npt.ArrayLike,
        Y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        training: bool = False,
    ) -> Array:
        """Return H v (P,) for the Hessian H of J at theta and a direction v (P,), without forming H.

        H v = Im grad J(theta + i h v) / h: a complex step through the hand-written gradient, exact to rounding. Where
        an activation or a loss is your own, and may not take complex numbers, the gradient is differenced instead.
        """
        data = self.check(X, Y, sample_weight)
        if np.shape(direction) != np.shape(theta):
            raise fault("direction", f"of theta's shape {np.shape(theta)}", np.shape(direction))
        theta, direction = np.asarray(theta, dtype=np.float64), np.asarray(direction, dtype=np.float64)
        return self.curvature(theta, direction, *data, Mode(training))

    @cached_property
    def takes_complex(self) -> bool:
        """Whether every function in the chain takes complex numbers, so that complex steps are exact."""
        functions = all(layer.function.takes_complex for layer in self.net.layers)
        return functions and self.loss_record.takes_complex

    def check(
        self,
        X: npt.ArrayLike,
        Y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        stacks: bool = True,
    ) -> tuple[Array, Array, Array | None]:
        """Return X, Y and the weights (mean 1) as arrays that fit together and fit the loss.

        Without `stacks`, X and Y must have two axes.
        """
        rows, targets = as_rows(X, Y, self.net.n_inputs, self.net.n_outputs)
        if not stacks and (rows.ndim != 2 or targets.ndim != 2):
            raise fault("X and Y", "(m, inputs) and (m, outputs)", f"{rows.shape} and {targets.shape}")
        if not stacks and "c" in (rows.dtype.kind, targets.dtype.kind):
            raise fault("X and Y", "real", "complex numbers")
        self.loss_record.check_targets(targets)
        return rows, targets, as_weights(sample_weight, rows.shape[-2])

    # ---- for loops: unchecked -------------------------------------------------------------------------------------

    def evaluate(
        self,
        theta: Array,
        X: Array,
        Y: Array,
        weights: Array | None,
        state: Array | None,
        mode: Mode,
        work: Work | None = None,
    ) -> tuple[Array, Array, Trace]:
        """Return J, dJ/dtheta and the trace for arrays that `check` has seen: the body of every training loop.

        With `work = net.work(theta)` the gradient is written into the same memory at every call.
        """
        trace = self.run_on.forward(self.net, theta, X, state, mode, work)
        grad = self.run_on.backward(self.net, trace, self.delta(trace, Y, weights), work)
        J = self.data_term(trace, Y, weights)
        if self.l1 or self.l2:
            J = J + self.penalty(theta)
            self._add_penalty_gradient(theta, grad)
        return J, grad, trace

    def curvature(self, theta: Array, direction: Array, X: Array, Y: Array, weights: Array | None, mode: Mode) -> Array:
        """Return H v as `hessian_product` does, for float64 theta and v and arrays that `check` has seen."""
        if self.takes_complex:
            shifted = theta + 1e-30j * direction
            return np.asarray(self.evaluate(shifted, X, Y, weights, None, mode)[1].imag / 1e-30)
        h = 1e-6 / max(float(np.abs(direction).max()), 1e-300)
        up, down = (self.evaluate(theta + s * h * direction, X, Y, weights, None, mode)[1] for s in (1.0, -1.0))
        return np.asarray((up - down) / (2.0 * h))

    def data_term(self, trace: Trace, Y: Array, weights: Array | None) -> Array:
        """The mean of w_i loss_i, without the penalty; weights have mean 1 over the data (`check` sees to it)."""
        if self.matched is not None:
            cost = self.matched.value(trace.z[-1], trace.output, Y)
        else:
            cost = self.loss_record.value(trace.output, Y)
        if weights is None:
            return np.asarray(np.add.reduce(cost, axis=(-1, -2)) / cost.shape[-2])
        return np.asarray(cost.sum(axis=-1) @ weights / cost.shape[-2])

    def delta(self, trace: Trace, Y: Array, weights: Array | None) -> Array:
        """dJ/dz_L (..., m, k): w_i / m times dL_i/dz_L; dL_i/dz_L = dL_i/da_L f'(z_L) for an unmatched pair."""
        z, a = trace.z[-1], trace.a[-1]
        if self.matched is not None:
            dZ = self.matched.delta(z, a, Y)
        else:
            dZ = self.net.layers[-1].function.pullback(z, a, self.loss_record.slope(a, Y))
        m = dZ.shape[-2]
        share = 1.0 / m if weights is None else (weights / m)[:, None]
        return np.asarray(dZ * share).astype(a.dtype, copy=False)

    def penalty(self, theta: Array) -> Array:
        """l1 |W|_1 + l2/2 |W|^2, for each network of a stack."""
        total = np.zeros(theta.shape[:-1], theta.dtype)
        for part in self.net.weight_slices if self.l1 or self.l2 else ():
            W = theta[..., part]
            if self.l1:
                total = total + self.l1 * np.maximum(W, -W).sum(axis=-1)
            if self.l2:  # W @ W needs no memory for the squares
                total = total + 0.5 * self.l2 * (W @ W if W.ndim == 1 else (W * W).sum(axis=-1))
        return total

    def _add_penalty_gradient(self, theta: Array, grad: Array) -> None:
        for part in self.net.weight_slices:
            W = theta[..., part]
            if self.l2:
                grad[..., part] += self.l2 * W
            if self.l1:
                grad[..., part] += self.l1 * ((W > 0) * 1.0 - (W < 0) * 1.0).astype(W.dtype)
