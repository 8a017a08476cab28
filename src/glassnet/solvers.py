"""Solvers: SciPy's minimisers and two for least squares on the whole data set, every iteration recorded.

They see the same objective as the mini-batch loop. Full-batch solvers need a J that does not change from call to
call: Dropout is refused, BatchNorm uses the statistics of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet import bayesian, levenberg_marquardt
from glassnet.arrays import Array, check_count, read_only
from glassnet.engines.threads import single_threaded_blas
from glassnet.errors import GlassnetError, choose, fault
from glassnet.full_batch import FullBatch, blocks_of
from glassnet.history import EpochRecord, History, Run
from glassnet.layers import BatchNorm, Dropout, Mode
from glassnet.least_squares import NetworkSquares, squares
from glassnet.levenberg_marquardt import Damping
from glassnet.network import Network
from glassnet.objective import Objective
from glassnet.posterior import Posterior
from glassnet.watchers import Request, Watcher, start_all

__all__ = ["METHODS", "minimize"]


SMALL_PRODUCT = 1 << 27
"""Multiplications; a product of no more is for one core: between the products SciPy's own BLAS works on its vectors,
and the idle threads of one BLAS hold the cores that the other one needs (200 x 1000 x 100: 33 ms, not 5)."""


@dataclass(frozen=True)
class _Method:
    """SciPy's name of a method, its options, and whether it uses Hessian-vector products."""

    scipy_name: str
    options: Mapping[str, float]
    hessian: bool = False
    scale: float = 1.0
    """SciPy's Newton-CG takes any curvature below 7e-16 for none: it is shown scale * J, whose minimum is the same."""


@dataclass(frozen=True)
class _Squares:
    """A method for sums of squares; `bayesian` says that it finds the penalty itself."""

    bayesian: bool


# The gradient norm is tested by `minimize` itself, the same for all: SciPy's own tests are switched off.
METHODS: Mapping[str, _Method | _Squares] = {
    "bfgs": _Method("BFGS", {"gtol": 0.0}),
    "lbfgs": _Method("L-BFGS-B", {"gtol": 0.0, "ftol": 0.0, "maxcor": 10, "maxls": 50, "maxfun": 10**9}),
    "cg": _Method("CG", {"gtol": 0.0}),
    "newton-cg": _Method("Newton-CG", {"xtol": 0.0}, hessian=True, scale=1e6),
    "lm": _Squares(bayesian=False),
    "br": _Squares(bayesian=True),
}
"""Name -> method of every solver."""


def minimize(
    objective: Objective,
    theta: Array,
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    *,
    method: str = "lbfgs",
    max_iter: int = 1000,
    max_evaluations: int | None = None,
    tolerance: float = 1e-6,
    callbacks: Sequence[object] = (),
    engine: str | None = None,
    damping: Damping | None = None,
    n_threads: int | None = None,
) -> Run:
    """Minimise J over all of X (m, d), Y (m, k) from theta (P,).

    `n_threads` threads (None: one a core) share the rows of each evaluation; the result does not depend on them.

    `method` is "bfgs", "lbfgs", "cg" or "newton-cg" for any smooth J; "lm" (Levenberg-Marquardt, the fastest for up to
    a few hundred weights) for squared errors; or "br" (Bayesian regularisation), which also finds the penalty and
    leaves `run.posterior`. `damping` says how the damping of the last two starts, falls and rises.

    The run is "converged" when the largest entry of the gradient is at most `tolerance`, or no step lowers J any more
    and the gradient is down to rounding; "stopped" when none does although it is not; "completed" after `max_iter`
    iterations, or after the iteration in which `max_evaluations` evaluations of J and its gradient were reached. The
    history has a row an iteration, from the start (epoch 0); `updates` counts evaluations of J.

    With "br" the gradient is that of J + l2/2 |theta|^2 for the l2 = alpha / (beta m) found so far, which must have
    settled, too (alpha and beta by no more than the part sqrt(tolerance) an iteration); the last theta is returned, not
    that of the lowest J. "alpha", "beta" (its mean) and "gamma" are columns of the history.

    Newton-CG uses exact Hessian-vector products (`Objective.hessian_product`). All solvers compute in float64; theta
    comes back in its own dtype.

    Raises GlassnetError for networks with Dropout, unknown methods, arguments that do not fit, and with "lm" and "br"
    for losses other than the squared error, BatchNorm, l1, and more weights than memory allows.

    >>> import numpy as np
    >>> from glassnet import Dense, Network
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> objective = Objective(Network(1, [Dense(1)]), "squared_error")
    >>> run = minimize(objective, np.zeros(2), X, 3 * X + 1, method="bfgs")
    >>> run.status, run.theta.round(6)
    ('converged', array([3., 1.]))
    """
    chosen = choose("method", method, METHODS)
    theta = np.asarray(theta)
    check_count("max_iter", max_iter)
    if n_threads is not None:
        check_count("n_threads", n_threads)
    if any(isinstance(layer, Dropout) and layer.rate for layer in objective.net.layers):
        raise GlassnetError(f"{method} needs a loss that does not change from call to call; Dropout: use train(...).")
    objective.net.check_theta(theta)
    objective = objective if engine is None else replace(objective, engine=engine)
    rows, targets, weights = objective.check(X, Y, sample_weight, stacks=False)
    data = rows.astype(np.float64, copy=False), targets.astype(np.float64, copy=False), weights
    most = max_iter * 1000 if max_evaluations is None else check_count("max_evaluations", max_evaluations)
    watch = _Watch(objective, data, theta.astype(np.float64), tolerance, max_iter, most, n_threads)
    solve = _solver(chosen, watch, damping)
    watch.watchers = start_all(callbacks)
    quiet = np.errstate(over="ignore", invalid="ignore")  # of a step too long
    with _cores_for(chosen, objective, len(rows)), watch.evaluate, quiet:
        try:
            solve(theta.astype(np.float64))
        except KeyboardInterrupt:
            watch.ending = Request("stopped", f"interrupted after iteration {len(watch.rows) - 1}")
        finally:
            wishes = [watcher.at_end() for watcher in watch.watchers]
    return watch.run(theta.dtype, wishes)


def _solver(chosen: _Method | _Squares, watch: _Watch, damping: Damping | None) -> Callable[[Array], None]:
    """Return what minimises from a theta and tells the watch; raises GlassnetError where it cannot."""
    if isinstance(chosen, _Method):
        if damping is not None:
            raise fault("damping", "left out but for 'lm' and 'br'", damping)
        watch.scale = chosen.scale
        return partial(_descend, watch, chosen)
    if chosen.bayesian:
        return partial(_find_penalty, watch, bayesian.model(watch.objective, watch.data), damping or bayesian.DAMPING)
    return partial(_least_squares, watch, squares(watch.objective, watch.data), damping or Damping())


def _cores_for(chosen: _Method | _Squares, objective: Objective, m: int) -> AbstractContextManager[None]:
    """One core for small factorisations and products: BLAS's threads gain little there, and lose all on shared cores.

    They wait for each other at every panel of a QR factorisation, and at the end of every product. On two busy cores a
    run of 151 weights and 441 rows took 136 s with two threads and 1.6 s with one; 30 iterations of L-BFGS on digits
    0.9 to 10 s and 0.2 to 0.3 s.
    """
    net = objective.net
    P, k = net.n_parameters, net.n_outputs
    if isinstance(chosen, _Squares):
        small = 2.0 * (m * k + P) * P * P <= levenberg_marquardt.SMALL
    else:
        blocks = blocks_of(net, m)  # several are shared out to the cores, each a thread of its own
        small = blocks > 1 or m * max(n * k for n, k in pairwise(net.sizes)) <= SMALL_PRODUCT
    return single_threaded_blas() if small else nullcontext()


def _descend(watch: _Watch, chosen: _Method, theta: Array) -> None:
    """Let SciPy minimise."""
    from scipy import optimize

    watch.after_iteration(theta)
    if watch.ending is not None:
        return
    result = optimize.minimize(
        watch.value_and_grad,
        theta,
        jac=True,
        hessp=watch.hessian_product if chosen.hessian else None,
        method=chosen.scipy_name,
        callback=watch.scipy_callback,
        options={**chosen.options, "maxiter": watch.max_iter},
    )
    watch.end_of(result.nit)


def _least_squares(watch: _Watch, problem: NetworkSquares, damping: Damping, theta: Array) -> None:
    """Take Levenberg-Marquardt steps until one of the ends is reached, or no step lowers J."""
    for at in levenberg_marquardt.iterate(problem, theta, damping):
        watch.evaluations += at.evaluations
        watch.see(at.theta, at.cost, at.gradient)
        if watch.ending is not None or len(watch.rows) > watch.max_iter:
            break
    watch.end_of(len(watch.rows) - 1)


def _find_penalty(watch: _Watch, model: bayesian.Model, damping: Damping, theta: Array) -> None:
    """Take steps of Bayesian regularisation until theta, alpha and beta are settled or an end is reached."""
    watch.keeps_last, enough = True, np.sqrt(watch.tolerance)
    for at in bayesian.iterate(model, theta, damping):
        watch.evaluations += at.evaluations
        watch.posterior = partial(bayesian.posterior_of, model, evidence=at.evidence)
        settled = at.change <= enough
        watch.see(at.theta, at.loss, at.gradient, at.evidence.numbers, settled=settled)
        if watch.ending is not None or len(watch.rows) > watch.max_iter or (settled and not at.found):
            break
    watch.end_of(len(watch.rows) - 1)


class _Watch:
    """Counts, records and stops: the only thing that changes during a minimisation."""

    def __init__(
        self,
        objective: Objective,
        data: tuple[Array, Array, Array | None],
        start: Array,
        tolerance: float,
        max_iter: int,
        max_evaluations: int,
        n_threads: int | None,
    ) -> None:
        self.objective, self.data, self.tolerance = objective, data, tolerance
        self.max_iter, self.max_evaluations = max_iter, max_evaluations
        self.scale = 1.0
        self.watchers: tuple[Watcher, ...] = ()
        self.begin = perf_counter()
        self.evaluations = 0
        self.rows: list[dict[str, float]] = []
        self.ending: Request | None = None
        self.place = start.copy()
        self.evaluate = FullBatch(objective, self.place, *data, n_threads, evaluations=min(max_iter, max_evaluations))
        self.last: tuple[float, Array] | None = None
        self.best: tuple[float, Array] = (np.inf, start)
        self.keeps_last = False
        self.posterior: Callable[[Array], Posterior] | None = None

    def value_and_grad(self, theta: Array) -> tuple[float, Array]:
        if self.last is None or not np.array_equal(self.place, theta):  # SciPy begins with the start once more
            self.evaluations += 1
            self.place[:] = theta
            J, gradient = self.evaluate()
            self.last = J, gradient.copy()
        return self.scale * self.last[0], self.scale * self.last[1]

    def hessian_product(self, theta: Array, direction: Array) -> Array:
        return self.scale * self.objective.curvature(theta, direction, *self.data, Mode(training=True))

    def scipy_callback(self, intermediate_result: Any) -> None:
        self.after_iteration(intermediate_result.x)
        if self.ending is not None:
            raise StopIteration

    def after_iteration(self, theta: Array) -> None:
        """See where SciPy has arrived."""
        self.value_and_grad(theta)
        assert self.last is not None
        self.see(theta, *self.last)

    def see(
        self, theta: Array, J: float, grad: Array, scores: Mapping[str, float] | None = None, *, settled: bool = True
    ) -> None:
        """Record a row, ask the callbacks, test the gradient (and take it for the end only where all is settled)."""
        self.last = J, grad
        if self.keeps_last or self.best[0] >= J:
            self.best = J, theta.copy()
        record = EpochRecord(
            epoch=len(self.rows),
            updates=self.evaluations,
            loss=J,
            scores=scores or {},
            learning_rate=1.0,
            gradient_norm=float(np.sqrt(grad @ grad)),
            seconds=perf_counter() - self.begin,
            theta=read_only(theta),
            state=read_only(batch_statistics(self.objective.net, theta, self.data[0])),
            epochs=self.max_iter,
            penalty=float(self.objective.penalty(theta)),
        )
        self.rows.append(record.row())
        if not np.isfinite(J):
            self.ending = Request("diverged", f"the loss is {J} in iteration {record.epoch}")
        elif (slope := _largest(grad)) <= self.tolerance and settled:
            self.ending = Request("converged", f"the largest entry of the gradient is {slope:.1e}")
        elif self.evaluations >= self.max_evaluations:
            self.ending = Request("completed", f"all {self.max_evaluations} evaluations of the loss were used")
        for watcher in self.watchers:
            request = watcher.after_epoch(record)
            if self.ending is None and request is not None and request.stop is not None:
                self.ending = request

    def end_of(self, iterations: int) -> None:
        """Say how it ended, where neither the gradient nor a callback has: all iterations, rounding, or stuck."""
        if self.ending is not None or self.last is None:
            return
        J, grad = self.last
        slope = _largest(grad)
        if iterations >= self.max_iter:
            self.ending = Request("completed", f"all {self.max_iter} iterations were run")
        elif slope <= np.sqrt(np.finfo(np.float64).eps) * max(1.0, abs(J)):
            self.ending = Request("converged", f"no step lowers the loss any more; largest gradient entry {slope:.1e}")
        else:
            advice = "a kink (ReLU), or a gradient that is wrong: see check_gradient"
            self.ending = Request(
                "stopped", f"found no lower loss, with a largest gradient entry of {slope:.1e}: {advice}"
            )

    def run(self, dtype: npt.DTypeLike, wishes: Sequence[Request | None]) -> Run:
        theta = self.best[1]
        for wish in wishes:
            theta = wish.theta if wish is not None and wish.theta is not None else theta
        posterior = None if self.posterior is None or not np.isfinite(self.best[0]) else self.posterior(theta)
        theta, ending = theta.astype(dtype), self.ending or Request("stopped", "ended early")
        state = batch_statistics(self.objective.net, theta, self.data[0])
        seconds = perf_counter() - self.begin
        history, status = History(tuple(self.rows)), ending.stop or "completed"
        return Run(theta, state, history, status, ending.reason, seconds, posterior=posterior)


def _largest(grad: Array) -> float:
    """The largest entry, without memory for their absolute values."""
    return float(max(grad.max(), -grad.min()))


def batch_statistics(net: Network, theta: Array, X: Array) -> Array:
    """Return BatchNorm's statistics (Q,) measured on all rows of X (m, d)."""
    if not net.state_layout.size:
        return net.init_state(theta.dtype)
    layers = [replace(layer, momentum=0.0) if isinstance(layer, BatchNorm) else layer for layer in net.layers]
    return Network(net.n_inputs, layers).trace(theta, X, mode=Mode(training=True)).state
