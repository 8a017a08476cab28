"""Pictures of a network, its training and its results; each returns the axes that it drew in (a list, where many).

    from glassnet.insight import plots
    plots.learning_curves(run.history)
    plots.loss_landscape(objective, run.theta, X, Y)
    plots.DecisionSurfaceDisplay.from_estimator(model, X, y)

Every function takes axes (`ax=`) or makes a figure of its own, `ax.figure`, which `savefig` writes. They live by
subject in training_plots, result_plots, network_plots, layer_plots, surface_plots and displays.
"""

from glassnet.insight.displays import (
    ConfusionMatrixDisplay,
    DecisionSurfaceDisplay,
    LearningCurvesDisplay,
    NetworkDisplay,
    WeightImagesDisplay,
)
from glassnet.insight.layer_plots import histograms_by_epoch, layer_histograms, signal_sizes
from glassnet.insight.network_plots import network_diagram, weight_images
from glassnet.insight.result_plots import confusion_matrix, predicted_against_true
from glassnet.insight.style import (
    AMBER,
    BLUE,
    CYCLE,
    DIVERGING,
    FAINT,
    GREEN,
    INK,
    MUTED,
    PURPLE,
    SHADES,
    SKY,
    VERMILLION,
    Axes,
    Figure,
    figure_of,
    house_style,
    to_png_base64,
    to_svg,
)
from glassnet.insight.surface_plots import decision_surface, loss_landscape, main_directions, random_directions
from glassnet.insight.training_plots import learning_curves, score_curves, score_names

__all__ = [
    "AMBER",
    "BLUE",
    "CYCLE",
    "DIVERGING",
    "FAINT",
    "GREEN",
    "INK",
    "MUTED",
    "PURPLE",
    "SHADES",
    "SKY",
    "VERMILLION",
    "Axes",
    "ConfusionMatrixDisplay",
    "DecisionSurfaceDisplay",
    "Figure",
    "LearningCurvesDisplay",
    "NetworkDisplay",
    "WeightImagesDisplay",
    "confusion_matrix",
    "decision_surface",
    "figure_of",
    "histograms_by_epoch",
    "house_style",
    "layer_histograms",
    "learning_curves",
    "loss_landscape",
    "main_directions",
    "network_diagram",
    "predicted_against_true",
    "random_directions",
    "score_curves",
    "score_names",
    "signal_sizes",
    "to_png_base64",
    "to_svg",
    "weight_images",
]
