"""Surfaces, histograms by epoch, several runs, and displays: the numbers drawn are those of the network."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import glassnet as gn
from glassnet import Dense, GlassnetError, MLPClassifier, MLPRegressor, Network, Objective
from glassnet.arrays import Array
from glassnet.history import History
from glassnet.insight import plots

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
LABELS = np.array(["in", "out"])[(np.hypot(*X.T) > 1).astype(int)]
OBJECTIVE = Objective(Network(2, [Dense(5, "tanh"), Dense(1)]), "squared_error", l2=1e-3)
Y = X[:, :1] * X[:, 1:]


@pytest.fixture(scope="module")
def path() -> Array:
    """Return theta (31, P) before training and after each of 30 epochs."""
    found = [OBJECTIVE.net.init(0)]
    gn.train(
        OBJECTIVE, found[0], X, Y, optimizer=gn.Adam(0.05), epochs=30, batch_size=20, rng=0, engine="numpy",
        callbacks=[lambda record: found.append(record.theta.copy())],
    )  # fmt: skip
    return np.array(found)


@pytest.fixture(scope="module")
def classifier() -> MLPClassifier:
    return MLPClassifier(hidden_layer_sizes=8, solver="lbfgs", alpha=0.01, max_iter=500, random_state=0).fit(X, LABELS)


# ---- decision surfaces ---------------------------------------------------------------------------------------------


def test_the_colour_of_a_point_is_the_class_that_wins_there(classifier: MLPClassifier) -> None:
    ax = plots.decision_surface(classifier, X, LABELS)
    image = np.asarray(ax.images[0].get_array())
    left, right, bottom, top = ax.images[0].get_extent()
    for column, row in ((5, 5), (80, 80), (20, 130), (155, 40)):
        at = [[np.linspace(left, right, 160)[column], np.linspace(bottom, top, 160)[row]]]
        k = int(classifier.predict_proba(at).argmax())
        colour = np.array(to_rgb(plots.CYCLE[k]))
        strength = 0.15 + 0.55 * classifier.predict_proba(at).max()
        np.testing.assert_allclose(image[row, column], 1 - strength + strength * colour, atol=1e-12)
    drawn = np.concatenate([np.asarray(points.get_offsets()) for points in ax.collections if len(points.get_offsets())])
    assert {tuple(point) for point in drawn} >= {tuple(point) for point in X}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["in", "out"]
    plots.to_svg(ax)


def test_a_regressor_is_drawn_in_levels_and_refused_where_it_is_flat() -> None:
    model = MLPRegressor(hidden_layer_sizes=6, solver="lbfgs", max_iter=300, random_state=0).fit(X, Y.ravel())
    ax = plots.decision_surface(model, X, Y.ravel())
    assert len(ax.figure.axes) == 2, "a colour bar"
    plots.to_svg(ax)
    model.coefs_[-1][:] = 0.0
    with pytest.raises(GlassnetError, match="one number everywhere"):
        plots.decision_surface(model, X, Y.ravel())
    with pytest.raises(GlassnetError, match=r"X must be \(m, 2\)"):
        plots.decision_surface(model, np.ones((3, 3)), np.ones(3))


# ---- the loss around theta -----------------------------------------------------------------------------------------


def test_random_directions_have_the_length_of_each_unit() -> None:
    theta = OBJECTIVE.net.init(1)
    directions = plots.random_directions(OBJECTIVE.net, theta, rng=3)
    for direction in directions:
        views, theirs = OBJECTIVE.net.views(direction), OBJECTIVE.net.views(theta)
        for name in ("W1", "W2"):
            np.testing.assert_allclose(np.linalg.norm(views[name], axis=0), np.linalg.norm(theirs[name], axis=0))
        assert not views["b1"].any()
    assert not np.allclose(*directions)
    np.testing.assert_array_equal(plots.random_directions(OBJECTIVE.net, theta, rng=3), directions)


def test_main_directions_are_those_of_the_largest_variance(path: Array) -> None:
    first, second = plots.main_directions(path)
    np.testing.assert_allclose([first @ first, second @ second, first @ second], [1, 1, 0], atol=1e-12)
    left = path - path[-1]
    kept = ((left @ first) ** 2 + (left @ second) ** 2).sum()
    others = np.linalg.qr(RNG.normal(size=(path.shape[1], 2)))[0]
    assert kept > 0.8 * (left**2).sum() > ((left @ others) ** 2).sum()
    line = np.outer(np.arange(5.0), np.ones(4))
    with pytest.raises(GlassnetError, match="must bend"):
        plots.main_directions(line)
    with pytest.raises(GlassnetError, match="at least 3 epochs"):
        plots.main_directions(path[:2])


def test_the_landscape_holds_the_losses(path: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(Axes, "contourf", _remember(Axes.contourf, seen))
    directions = plots.random_directions(OBJECTIVE.net, path[-1], rng=1)
    ax = plots.loss_landscape(OBJECTIVE, path[-1], X, Y, directions=directions, size=5, span=0.5)
    u, v, values = seen["args"]
    for i, j in ((0, 0), (2, 2), (1, 4)):
        there = path[-1] + u[j] * directions[0] + v[i] * directions[1]
        assert values[i, j] == pytest.approx(float(OBJECTIVE.value(there, X, Y)), rel=1e-12)
    assert (u[0], u[-1]) == (-0.5, 0.5)
    plots.to_svg(ax)


def _remember(draw, seen):  # type: ignore[no-untyped-def]
    def contourf(self, *args, **options):  # type: ignore[no-untyped-def]
        seen["args"] = args
        return draw(self, *args, **options)

    return contourf


def test_the_path_ends_at_theta(path: Array) -> None:
    ax = plots.loss_landscape(OBJECTIVE, path[-1], X, Y, path=path, size=7)
    walked = np.column_stack(ax.lines[0].get_data())
    assert walked.shape == (31, 2)
    np.testing.assert_allclose(walked[-1], [0, 0], atol=1e-12)
    first, _ = plots.main_directions(path)
    np.testing.assert_allclose(walked[:, 0], (path - path[-1]) @ first, atol=1e-9)
    assert ax.get_xlabel() == "main direction 1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"directions": np.ones((2, 3))}, r"directions must be \(2, 21\)"),
        ({"span": 0.0}, "span must be positive"),
        ({"size": 2}, "size must be at least 3"),
    ],
)
def test_wrong_landscapes_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(GlassnetError, match=words):
        plots.loss_landscape(OBJECTIVE, OBJECTIVE.net.init(0), X, Y, **options)
    with pytest.raises(GlassnetError, match=r"theta must be \(21,\)"):
        plots.loss_landscape(OBJECTIVE, np.ones(3), X, Y)


# ---- layer by layer, epoch by epoch --------------------------------------------------------------------------------


def test_each_column_is_the_histogram_of_its_epoch(path: Array) -> None:
    axes = plots.histograms_by_epoch(OBJECTIVE, path, X, Y)
    assert [ax.get_title(loc="left") for ax in axes] == ["1: tanh", "2: identity"]
    mesh = np.asarray(axes[0].collections[0].get_array())
    every = np.concatenate([OBJECTIVE.net.forward(theta, X).a[1].ravel() for theta in path])
    counts = np.histogram(OBJECTIVE.net.forward(path[7], X).a[1], np.histogram_bin_edges(every, 40))[0]
    np.testing.assert_allclose(mesh[:, 7], counts / counts.max())
    plots.to_svg(axes)


def test_gradients_are_shown_as_powers_of_ten(path: Array) -> None:
    axes = plots.histograms_by_epoch(OBJECTIVE, path, X, Y, what="gradients")
    assert [ax.get_title(loc="left") for ax in axes] == ["dJ/dW1", "dJ/dW2"]
    low, high = axes[0].get_ylim()
    size = np.abs(OBJECTIVE.net.views(OBJECTIVE.value_and_grad(path[0], X, Y)[1])["W1"])
    assert low <= np.log10(size[size > 0].min())
    assert np.log10(size.max()) <= high
    still = Objective(Network(2, [Dense(1)]), "squared_error")
    flat = plots.histograms_by_epoch(still, np.zeros((2, 3)), X, np.zeros((60, 1)), what="gradients")
    assert flat[0].texts[0].get_text() == "all are 0"
    with pytest.raises(GlassnetError, match="did you mean 'gradients'"):
        plots.histograms_by_epoch(OBJECTIVE, path, X, Y, what="gradient")
    with pytest.raises(GlassnetError, match="axes must be 2"):
        plots.histograms_by_epoch(OBJECTIVE, path, X, Y, axes=axes[:1])
    with pytest.raises(GlassnetError, match=r"path must be \(epochs, 21\)"):
        plots.histograms_by_epoch(OBJECTIVE, path[0], X, Y)


def test_several_runs_are_a_median_and_a_band() -> None:
    losses = ([5.0, 3.0, 1.0], [4.0, 3.5, 2.0], [6.0, 2.0, 3.0, 9.0])
    runs = [History(tuple({"epoch": i + 1, "loss": x} for i, x in enumerate(run))) for run in losses]
    ax = plots.learning_curves(runs)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [5, 3, 2])
    band = ax.collections[0].get_paths()[0].vertices
    assert {(1, 4.0), (1, 6.0), (3, 1.0), (3, 3.0)} <= {(float(x), float(y)) for x, y in band}
    with pytest.raises(GlassnetError, match="at least one run"):
        plots.learning_curves([])


# ---- displays ------------------------------------------------------------------------------------------------------


def test_displays_keep_their_axes_and_draw_again(classifier: MLPClassifier) -> None:
    made = [
        plots.LearningCurvesDisplay.from_estimator(classifier),
        plots.NetworkDisplay.from_estimator(classifier, max_units=4),
        plots.DecisionSurfaceDisplay.from_estimator(classifier, X, LABELS),
        plots.ConfusionMatrixDisplay.from_estimator(classifier, X, LABELS),
    ]
    for display in made:
        assert display.figure_ is display.ax_.figure
        before, other = display.ax_, plots.Figure().add_subplot()
        assert display.plot(other) is display
        assert display.ax_ is other is not before
    np.testing.assert_array_equal(made[3].matrix, confusion_matrix(LABELS, classifier.predict(X)))


def test_displays_find_the_network_in_a_pipeline() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # three epochs are enough for a picture
        model = make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=3, max_iter=3, random_state=0))
        model.fit(np.hstack([X, X]), LABELS)
    display = plots.WeightImagesDisplay.from_estimator(model)
    assert display.image_shape == (2, 2)
    np.testing.assert_array_equal(display.ax_.images[1].get_array().ravel(), model[-1].coefs_[0][:, 1])
    assert len(plots.LearningCurvesDisplay.from_estimator(model).history) == 3


def test_displays_refuse_what_they_cannot_draw(classifier: MLPClassifier) -> None:
    with pytest.raises(GlassnetError, match="a fitted estimator of glassnet"):
        plots.LearningCurvesDisplay.from_estimator(MLPClassifier())
    with pytest.raises(GlassnetError, match="make no square"):
        plots.WeightImagesDisplay.from_estimator(classifier)
    with pytest.raises(GlassnetError, match="received upside"):
        plots.ConfusionMatrixDisplay.from_estimator(classifier, X[:2], ["in", "upside"])
    with pytest.raises(GlassnetError, match="a fitted classifier"):
        plots.ConfusionMatrixDisplay.from_estimator(MLPRegressor(), X, LABELS)
