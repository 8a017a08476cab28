"""scikit-learn estimators: they translate arguments, call `train` or `minimize`, and keep what came out."""

from glassnet.estimators.autoencoder import Autoencoder
from glassnet.estimators.ensemble import Ensemble
from glassnet.estimators.fitting import finish_fit, plan_fit
from glassnet.estimators.mlp import MLPClassifier, MLPRegressor

__all__ = ["Autoencoder", "Ensemble", "MLPClassifier", "MLPRegressor", "finish_fit", "plan_fit"]
