"""Pictures hold the numbers that they were given; matplotlib has nothing to warn about."""

from __future__ import annotations

import base64
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from glassnet import BatchNorm, Dense, Dropout, GlassnetError, Network, Objective
from glassnet.history import History, Run
from glassnet.insight import plots
from glassnet.insight.summary import LayerStatistics, layer_statistics


def history(epochs: int = 5, **columns: list[float]) -> History:
    return History(
        tuple({"epoch": i + 1, **{name: values[i] for name, values in columns.items()}} for i in range(epochs))
    )


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.fixture(scope="module")
def statistics() -> tuple[LayerStatistics, ...]:
    rng = np.random.default_rng(0)
    objective = Objective(Network(4, [Dense(6, "relu"), Dense(3, "softmax")]), "cross_entropy")
    return layer_statistics(
        objective, objective.net.init(0), rng.normal(size=(30, 4)), np.eye(3)[rng.integers(3, size=30)]
    )


def test_learning_curves_show_both_losses_and_the_best_epoch() -> None:
    ax = plots.learning_curves(history(loss=[5, 4, 3, 2, 1.0], validation_loss=[5, 3, 2.5, 2.6, 2.7]))
    training, validation, best = ax.lines
    assert list(training.get_xdata()) == [1, 2, 3, 4, 5]
    assert list(training.get_ydata()) == [5, 4, 3, 2, 1]
    assert list(validation.get_ydata()) == [5, 3, 2.5, 2.6, 2.7]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([3], [2.5])
    assert ax.get_yscale() == "linear"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation", "lowest: epoch 3"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([100, 1, 1, 1, 1.0], "log"),
        ([100, -1, 1, 1, 1.0], "linear"),
        ([100, np.nan, np.inf, 1, 2.0], "log"),
        ([0.0] * 5, "linear"),
    ],
)
def test_scale_follows_the_range(losses: list[float], scale: str) -> None:
    ax = plots.learning_curves(history(loss=losses))
    assert ax.get_yscale() == scale
    plots.to_svg(ax)


@pytest.mark.parametrize("draw", [plots.learning_curves, plots.score_curves])
@pytest.mark.parametrize("given", [[1, 2], 3, {"loss": [1.0]}])
def test_what_is_no_history_is_refused(draw: Any, given: object) -> None:
    with pytest.raises(GlassnetError, match=r"history must be a History, or a list of them, received a \w+\. Take run"):
        draw(given)


def test_a_run_is_not_its_history() -> None:
    run = Run(np.zeros(1), np.zeros(0), history(loss=[1.0] * 5), "completed", "", 0.0)
    with pytest.raises(GlassnetError, match=r"received a Run\. Take its \.history\."):
        plots.learning_curves(run)


def test_run_without_epochs_is_drawn_as_such() -> None:
    assert texts(plots.learning_curves(History())) == ["nothing was measured"]
    assert texts(plots.score_curves(history(loss=[1.0] * 5))) == ["nothing was measured"]


def test_score_curves_prefer_the_validation_rows() -> None:
    record = history(
        loss=[1.0] * 5, accuracy=[0.1] * 5, validation_loss=[1.0] * 5, validation_accuracy=[0.5, 0.6, 0.7, 0.8, 0.9]
    )
    assert plots.score_names(record) == ("validation_accuracy",)
    ax = plots.score_curves(record)
    assert list(ax.lines[0].get_ydata()) == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert ax.get_ylabel() == "accuracy on validation rows"
    assert plots.score_curves(history(loss=[1.0] * 5, r2=[0.1] * 5)).get_ylabel() == "r2 on training rows"


def test_confusion_matrix_has_the_number_in_each_cell() -> None:
    matrix = np.array([[8, 2, 0], [0, 5, 5], [1, 0, 1234]])
    ax = plots.confusion_matrix(matrix, ["a", "b", "c"])
    assert texts(ax) == [str(n) for n in matrix.ravel()]
    assert [(round(t.get_position()[1]), round(t.get_position()[0])) for t in ax.texts] == [
        (i, j) for i in range(3) for j in range(3)
    ]
    np.testing.assert_allclose(ax.images[0].get_array()[:2], [[0.8, 0.2, 0], [0, 0.5, 0.5]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_confusion_matrix_takes_names_from_strangers() -> None:
    names = ["$x$", "猫", "a" * 50, "</svg><script>", "", "tab\there", "100$"]
    ax = plots.confusion_matrix(np.zeros((7, 7), int), names)
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        r"\$x\$", "#2", "a" * 17 + "…", "</svg><script>", "#5", "tab here", r"100\$",
    ]  # fmt: skip
    assert "<script" not in plots.to_svg(ax)


def test_many_classes_are_shown_without_numbers() -> None:
    assert texts(plots.confusion_matrix(np.eye(41), [str(i) for i in range(41)])) == []
    with pytest.raises(GlassnetError, match=r"matrix must be \(2, 2\) for 2 labels, received \(3, 3\)"):
        plots.confusion_matrix(np.eye(3), ["a", "b"])


def test_predictions_lie_where_they_belong() -> None:
    ax = plots.predicted_against_true([1.0, 2.0, 3.0], [1.5, 2.0, 2.0], name="price in $")
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), [[1, 1.5], [2, 2], [3, 2]])
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, y)
    assert ax.get_xlabel() == r"true price in \$"
    assert ax.get_xlim() == ax.get_ylim()
    plots.to_svg(plots.predicted_against_true([1.0], [1.0]))
    with pytest.raises(GlassnetError, match="equally many"):
        plots.predicted_against_true([1.0], [1.0, 2.0])


def test_many_points_do_not_make_a_large_file() -> None:
    many = np.random.default_rng(0).normal(size=20_000)
    assert len(plots.to_svg(plots.predicted_against_true(many, many + 0.1))) < 300_000


def test_weight_images_show_the_columns_of_W_on_one_scale() -> None:
    W = np.random.default_rng(0).normal(size=(12, 30))
    images = plots.weight_images(W, (3, 4), count=7).images
    assert len(images) == 7
    for j, image in enumerate(images):
        np.testing.assert_array_equal(image.get_array(), W[:, j].reshape(3, 4))
        assert image.get_clim() == (-np.abs(W[:, :7]).max(), np.abs(W[:, :7]).max())
    assert len(plots.weight_images(W[:, :2], (3, 4)).images) == 2
    plots.to_svg(plots.weight_images(np.zeros((4, 1)), (2, 2)))
    with pytest.raises(GlassnetError, match=r"W must be \(9, units\) for pictures of 3x3"):
        plots.weight_images(W, (3, 3))


def test_histograms_show_the_counts(statistics: tuple[LayerStatistics, ...]) -> None:
    axes = plots.layer_histograms(statistics)
    assert [ax.get_title(loc="left") for ax in axes] == ["1: 6 relu", "2: 3 softmax"]
    for ax, one in zip(axes, statistics, strict=True):
        values, edges, _ = ax.patches[0].get_data()
        np.testing.assert_allclose(values * sum(one.counts), one.counts)
        np.testing.assert_array_equal(edges, one.edges)
    plots.to_svg(axes)
    with pytest.raises(GlassnetError, match="statistics must be"):
        plots.layer_histograms(())


def test_signal_sizes_show_both_ways(statistics: tuple[LayerStatistics, ...]) -> None:
    ax = plots.signal_sizes(statistics)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [one.a_std for one in statistics])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [one.delta_rms for one in statistics])
    assert ax.get_yscale() == "log"


def test_network_diagram_draws_each_weight_with_its_sign() -> None:
    net = Network(2, [Dense(3, "tanh"), Dropout(0.25), BatchNorm(), Dense(1)])
    theta = np.zeros(net.n_parameters)
    net.views(theta)["W1"][:] = [[1.0, -2.0, 0.5], [0.0, 4.0, -1.0]]
    ax = plots.network_diagram(net, theta)
    assert texts(ax) == ["2 inputs", "3 tanh", "+ Dropout 0.25", "+ BatchNorm", "1 identity"]
    edges = next(c for c in ax.collections if isinstance(c, LineCollection))
    assert len(edges.get_segments()) == 6
    widths, colours = np.array(edges.get_linewidths()), edges.get_colors()
    assert (np.diff(widths) >= 0).all()
    assert tuple(colours[-1]) == to_rgba(plots.BLUE)  # the largest weight, 4, is positive and on top
    assert (edges.get_segments()[-1][:, 0] == [0, 1]).all()
    assert tuple(colours[-2][:3]) == to_rgba(plots.VERMILLION)[:3]  # then -2
    assert [len(c.get_offsets()) for c in ax.collections if not isinstance(c, LineCollection)] == [2, 3, 1]


def test_network_diagram_shortens_wide_layers_and_says_so() -> None:
    ax = plots.network_diagram(Network(64, [Dense(50, "relu"), Dense(10, "softmax")]), max_units=8)
    assert texts(ax) == ["64 inputs", "50 relu", "10 softmax"]
    drawn = [len(c.get_offsets()) for c in ax.collections if not isinstance(c, LineCollection)]
    assert drawn == [8, 3, 8, 3, 8, 3]  # eight units and three dots in each column
    assert [len(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection)] == [64, 64]
    plots.to_svg(ax)


def test_given_axes_are_drawn_in_and_the_style_is_left_behind(statistics: tuple[LayerStatistics, ...]) -> None:
    before = dict(mpl.rcParams)
    net = Network(2, [Dense(2)])
    for draw in (
        lambda ax: plots.learning_curves(history(loss=[1.0] * 5), ax),
        lambda ax: plots.score_curves(history(r2=[1.0] * 5), ax),
        lambda ax: plots.confusion_matrix(np.eye(2), ["a", "b"], ax),
        lambda ax: plots.predicted_against_true([1.0], [2.0], ax),
        lambda ax: plots.signal_sizes(statistics, ax),
        lambda ax: plots.network_diagram(net, ax=ax),
    ):
        ax = Figure().add_subplot()
        assert draw(ax) is ax
    assert dict(mpl.rcParams) == before


def test_a_legend_lies_above_axes_that_are_alone_and_inside_small_ones(statistics: tuple[LayerStatistics, ...]) -> None:
    net = Network(2, [Dense(2)])
    for draw in (
        lambda ax: plots.score_curves(history(r2=[1.0] * 5, accuracy=[1.0] * 5), ax),
        lambda ax: plots.signal_sizes(statistics, ax),
        lambda ax: plots.network_diagram(net, net.init(0), ax=ax),
    ):
        figure = Figure(figsize=(8, 6))
        alone, small = Figure().add_subplot(), figure.subplots(2, 2)[0, 0]
        above = []
        for ax in (alone, small):
            draw(ax).figure.draw_without_rendering()
            above.append(bool(ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1))
            inside = ax.get_window_extent()
        assert above == [True, False]
        legend = small.get_legend().get_window_extent()
        assert inside.y0 <= legend.y0 < legend.y1 <= inside.y1
        assert inside.x0 <= legend.x0 < legend.x1 <= inside.x1


def test_pictures_are_text_that_stays_the_same() -> None:
    def svg() -> str:
        return plots.to_svg(plots.learning_curves(history(loss=[5, 4, 3, 2, 1.0])))

    assert svg() == svg()
    assert svg().startswith("<svg")
    assert "matplotlib.org" not in svg()
    png = base64.b64decode(plots.to_png_base64(plots.confusion_matrix(np.eye(2), ["a", "b"]), dpi=50))
    assert png.startswith(b"\x89PNG")
