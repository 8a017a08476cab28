"""Equations in many dimensions by the deep BSDE method: the equations, their paths, the loss and its gradient."""

from glassnet.pde.catalogue import EQUATIONS, get
from glassnet.pde.equations import Equation

__all__ = ["EQUATIONS", "Equation", "get"]
