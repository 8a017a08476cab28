"""Equations in many dimensions by the deep BSDE method: the equations, their paths, the loss, and `solve`."""

from glassnet.pde.catalogue import EQUATIONS, get
from glassnet.pde.equations import Equation
from glassnet.pde.solution import Solution
from glassnet.pde.solving import Snapshot, solve

__all__ = ["EQUATIONS", "Equation", "Snapshot", "Solution", "get", "solve"]
