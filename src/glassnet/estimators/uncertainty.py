"""How sure a fit is: the posterior that "br" leaves, and the one around the minimum that "lm" has found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glassnet.arrays import Array
from glassnet.bayesian import laplace
from glassnet.errors import GlassnetError, fault
from glassnet.history import Run
from glassnet.posterior import Posterior

__all__ = ["band", "keep_posterior", "known_posterior"]


def keep_posterior(model: Any, plan: Mapping[str, Any], run: Run) -> None:
    """Store `posterior_`, None where the solver gives none or the data do not determine the weights, and why."""
    model.posterior_, model._no_posterior = run.posterior, ""
    if plan.get("method") == "lm" and run.status != "diverged":
        try:
            model.posterior_ = laplace(plan["objective"], run.theta, plan["X"], plan["Y"], plan["sample_weight"])
        except GlassnetError as error:  # no fault of the fit: it is said where errors are asked for
            model._no_posterior = str(error)


def known_posterior(model: Any, what: str) -> Posterior:
    """Return the posterior; raises GlassnetError, with the reason, where there is none."""
    posterior: Posterior | None = model.posterior_
    if posterior is None:
        reason = model._no_posterior
        if reason:
            raise GlassnetError(f"{what} cannot be told: {reason}")
        raise fault("the solver", f"'br' (or 'lm') for {what}", repr(model.solver), "Fit again with solver='br'.")
    return posterior


def band(model: Any, X: Array) -> Array:
    """Return the standard deviation (m, k) of new observations at rows (m, d)."""
    return known_posterior(model, "the standard deviation of predictions").predict_std(X)
