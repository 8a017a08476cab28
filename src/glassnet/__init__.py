"""glassnet: a neural network you can see through."""

from glassnet.gradcheck import check_gradient
from glassnet.layers import BatchNorm, Dense, Dropout, LayerNorm
from glassnet.network import Network, Trace
from glassnet.objective import Objective

__version__ = "0.1.0"
