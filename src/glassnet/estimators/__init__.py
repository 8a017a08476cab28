"""scikit-learn estimators: they translate arguments, call `train` or `minimize`, and keep what came out."""

from glassnet.estimators.fitting import finish_fit, plan_fit
from glassnet.estimators.mlp import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "finish_fit", "plan_fit"]
