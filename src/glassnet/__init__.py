"""glassnet: a neural network you can see through."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from glassnet import activations, datasets, initializers, losses, schedules
from glassnet.bayesian import laplace
from glassnet.callbacks import Checkpoint, EarlyStopping, Progress, ReduceOnPlateau, Request, TargetReached, TimeBudget
from glassnet.datasets import one_hot
from glassnet.errors import GlassnetError
from glassnet.gradcheck import check_gradient
from glassnet.history import History, Run
from glassnet.layers import BatchNorm, Dense, Dropout, LayerNorm
from glassnet.layout import Layout
from glassnet.levenberg_marquardt import Damping
from glassnet.network import Network, Trace
from glassnet.objective import Objective
from glassnet.optimizers import SGD, AdaGrad, Adam, AdamW, ClipNorm, NAdam, RMSProp
from glassnet.population import train_many
from glassnet.posterior import Posterior
from glassnet.scores import accuracy, r2
from glassnet.solvers import minimize
from glassnet.streaming import cut_batches, train_batches
from glassnet.training import train

if TYPE_CHECKING:
    from glassnet import pde, search
    from glassnet.certificate import verify
    from glassnet.estimators import Autoencoder, Ensemble, MLPClassifier, MLPRegressor
    from glassnet.export.c_code import to_c
    from glassnet.export.numpy_code import to_numpy
    from glassnet.insight.debug import debug_gradients
    from glassnet.insight.doctor import diagnose
    from glassnet.insight.exercises import make_exercise
    from glassnet.insight.explain import explain_step
    from glassnet.onnx_export import to_onnx
    from glassnet.persistence import load, save
    from glassnet.table_batches import read_batches

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Autoencoder",
    "BatchNorm",
    "Checkpoint",
    "ClipNorm",
    "Damping",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Ensemble",
    "GlassnetError",
    "History",
    "LayerNorm",
    "Layout",
    "MLPClassifier",
    "MLPRegressor",
    "NAdam",
    "Network",
    "Objective",
    "Posterior",
    "Progress",
    "RMSProp",
    "ReduceOnPlateau",
    "Request",
    "Run",
    "TargetReached",
    "TimeBudget",
    "Trace",
    "accuracy",
    "activations",
    "check_gradient",
    "cut_batches",
    "datasets",
    "debug_gradients",
    "diagnose",
    "explain_step",
    "initializers",
    "laplace",
    "load",
    "losses",
    "make_exercise",
    "minimize",
    "one_hot",
    "pde",
    "r2",
    "read_batches",
    "save",
    "schedules",
    "search",
    "to_c",
    "to_numpy",
    "to_onnx",
    "train",
    "train_batches",
    "train_many",
    "verify",
]

ON_FIRST_USE = {
    "Autoencoder": "glassnet.estimators",
    "Ensemble": "glassnet.estimators",
    "MLPClassifier": "glassnet.estimators",
    "MLPRegressor": "glassnet.estimators",
    "debug_gradients": "glassnet.insight.debug",
    "explain_step": "glassnet.insight.explain",
    "diagnose": "glassnet.insight.doctor",
    "load": "glassnet.persistence",
    "make_exercise": "glassnet.insight.exercises",
    "read_batches": "glassnet.table_batches",
    "save": "glassnet.persistence",
    "to_c": "glassnet.export.c_code",
    "to_numpy": "glassnet.export.numpy_code",
    "to_onnx": "glassnet.onnx_export",
    "verify": "glassnet.certificate",
}
MODULES_ON_FIRST_USE = ("pde", "search")


def __getattr__(name: str) -> Any:
    """Import what needs more than NumPy when it is first asked for."""
    if name in MODULES_ON_FIRST_USE:
        return import_module(f"glassnet.{name}")
    if name not in ON_FIRST_USE:
        raise AttributeError(f"module 'glassnet' has no attribute {name!r}")
    return getattr(import_module(ON_FIRST_USE[name]), name)
