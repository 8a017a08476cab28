"""Every line of an explanation says what its numbers say, and the numbers are those of the objective and of PyTorch."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glassnet as gn
from glassnet.insight.exact import Exact, rational
from glassnet.insight.expressions import Apply, Number, Sum, Symbol, evaluate, in_fractions
from glassnet.insight.pages import Line, Page
from glassnet.insight.typeset import latex, mathml, text

PAIRS = [
    ("relu", "identity", "squared_error"),
    ("sigmoid", "sigmoid", "binary_cross_entropy"),
    ("tanh", "softmax", "cross_entropy"),
    ("sigmoid", "sigmoid", "squared_error"),
    ("relu", "softmax", "squared_error"),
    ("leaky_relu", "identity", "huber"),
    ("silu", "identity", "absolute_error"),
    ("softplus", "exp", "poisson"),
    ("gelu", "exp", "gamma"),
    ("elu", "sigmoid", "focal"),
    ("selu", "identity", "quantile"),
    ("exp", "tanh", "squared_error"),
    ("mish", "softmax", {"name": "cross_entropy", "label_smoothing": 0.2}),
]


def problem(
    hidden: str, output: str, loss: object, m: int = 1, sizes: tuple[int, ...] = (3, 4, 2), **penalty: float
) -> tuple[gn.Objective, np.ndarray, np.ndarray, np.ndarray]:
    layers = [gn.Dense(n, hidden) for n in sizes[1:-1]]
    objective = gn.Objective(gn.Network(sizes[0], [*layers, gn.Dense(sizes[-1], output)]), loss, **penalty)
    rng = np.random.default_rng(7)
    theta = objective.net.init(1) + 0.1 * rng.normal(size=objective.net.n_parameters)
    X = rng.normal(size=(m, sizes[0]))
    Y = np.eye(sizes[-1])[rng.integers(sizes[-1], size=m)] + (1.0 if output == "exp" else 0.0)
    return objective, theta, X, Y


def disagreement(lines: tuple[Line, ...]) -> float:
    """Return the largest relative gap between the filled-in equation of a line and the number at its end."""
    gaps = [0.0]
    for line in lines:
        if len(line.right) >= 3:
            filled, number = evaluate(line.right[-2]), evaluate(line.right[-1])
            gaps.append(abs(filled - number) / max(1.0, abs(number)))
    return max(gaps)


@pytest.mark.parametrize("m", [1, 3, 6])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_each_line_amounts_to_its_number(pair: tuple[str, str, object], m: int) -> None:
    objective, theta, X, Y = problem(*pair, m=m, l2=0.3, l1=0.1)
    step = gn.explain_step(objective, theta, X, Y, 0.1)
    assert disagreement(step.page.lines) < 1e-12
    J, gradient = objective.value_and_grad(theta, X, Y)
    assert abs(step.loss - float(J)) < 1e-12
    np.testing.assert_allclose(step.gradient, gradient, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(step.theta, theta - 0.1 * gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_paths_add_up_to_the_derivative(pair: tuple[str, str, object], m: int) -> None:
    objective, theta, X, Y = problem(*pair, m=m, sizes=(2, 3, 3, 2), l2=0.3)
    step = gn.explain_step(objective, theta, X, Y)
    gradient = objective.net.views(objective.value_and_grad(theta, X, Y)[1])
    for name, i, j in (("W1", 1, 2), ("W2", 0, 1), ("W3", 2, 0)):
        page = step.explain_weight(name, i, j)
        assert disagreement(page.lines) < 1e-12
        assert math.isclose(evaluate(page.lines[-1].right[-2]), gradient[name][i, j], rel_tol=1e-9, abs_tol=1e-13)


def test_a_planted_fault_is_seen() -> None:
    """A delta without f', and a gradient that is another step's, leave lines that do not amount to their numbers."""
    objective, theta, X, Y = problem("sigmoid", "identity", "squared_error")
    step = gn.explain_step(objective, theta, X, Y)
    wrong = replace(step, step=replace(step.step, gradient=step.step.gradient * 1.001))
    assert disagreement(wrong.page.lines) > 1e-6
    hidden = step.step.delta[1]
    assert hidden is not None
    a = step.step.a[1]
    without = replace(step.step, delta=(None, hidden / (a * (1 - a)), step.step.delta[2]))
    assert disagreement(replace(step, step=without).page.lines) > 1e-3


def test_published_worked_example() -> None:
    """The numbers of Matt Mazur's "A step by step backpropagation example" (2015), to the digits printed there."""
    net = gn.Network(2, [gn.Dense(2, "sigmoid"), gn.Dense(2, "sigmoid")])
    theta = net.layout.pack(
        {
            "W1": [[0.15, 0.25], [0.2, 0.3]],
            "b1": [0.35, 0.35],
            "W2": [[0.4, 0.5], [0.45, 0.55]],
            "b2": [0.6, 0.6],
        }
    )
    step = gn.explain_step(gn.Objective(net, "squared_error"), theta, [0.05, 0.1], [0.01, 0.99], 0.5)
    after = net.views(step.theta)
    assert round(step.loss, 9) == 0.298371109
    np.testing.assert_allclose(after["W2"].T.ravel(), [0.35891648, 0.408666186, 0.511301270, 0.561370121], atol=5e-9)
    np.testing.assert_allclose(after["W1"].T.ravel(), [0.149780716, 0.19956143, 0.24975114, 0.29950229], atol=5e-9)
    assert "0.4·0.138499 + 0.5·(-0.0380982)" in str(step)


@pytest.mark.witness
@pytest.mark.parametrize("m", [1, 3])
def test_numbers_are_those_of_pytorch(m: int) -> None:
    torch = pytest.importorskip("torch")
    objective, theta, X, Y = problem("tanh", "softmax", "cross_entropy", m=m, sizes=(3, 4, 3))
    step = gn.explain_step(objective, theta, X, Y)
    p = {name: torch.tensor(v, requires_grad=True) for name, v in objective.net.views(theta).items()}
    z1 = torch.tensor(X) @ p["W1"] + p["b1"]
    z2 = torch.tanh(z1) @ p["W2"] + p["b2"]
    for z in (z1, z2):
        z.retain_grad()
    loss = -(torch.tensor(Y) * torch.log_softmax(z2, 1)).sum(1).mean()
    loss.backward()
    assert abs(step.loss - loss.item()) < 1e-14
    for name, found in objective.net.views(step.gradient).items():
        np.testing.assert_allclose(found, p[name].grad.numpy(), rtol=1e-10, atol=1e-15)
    for l, z in enumerate((z1, z2), 1):
        np.testing.assert_allclose(step.step.delta[l], z.grad.numpy(), rtol=1e-10, atol=1e-15)


# ---- fractions ----------------------------------------------------------------------------------------------------


def by_hand() -> gn.Objective:
    return gn.Objective(gn.Network(2, [gn.Dense(2, "relu"), gn.Dense(1)]), "squared_error")


THIRDS = np.array([1 / 3, -1.0, 1 / 2, 1 / 7, 1.0, 0.25, 2.0, -1 / 3, 0.1])


def test_fractions_are_exact() -> None:
    """Against Python's own fractions: W1 = [[1/3, -1], [1/2, 1/7]], b1 = [1, 1/4], W2 = [2, -1/3], b2 = 1/10."""
    step = gn.explain_step(by_hand(), THIRDS, [2.0, 3.0], [1.0], Fraction(1, 3), fractions=True)
    F = Fraction
    h0, h1 = F(1, 3) * 2 + F(1, 2) * 3 + 1, F(-1) * 2 + F(1, 7) * 3 + F(1, 4)
    assert h1 < 0 < h0
    r = 2 * h0 + F(1, 10) - 1
    wanted = [2 * r * 2, 0, 2 * r * 3, 0, 2 * r, 0, h0 * r, 0, r]
    assert [Exact.of(one).fraction for one in step.step.gradient] == wanted
    assert step.step.loss.fraction == r * r / 2
    assert next(Exact.of(one).fraction for one in step.step.after) == F(1, 3) - F(1, 3) * 4 * r
    for line in step.page.lines:
        if len(line.right) == 3:
            assert in_fractions(line.right[1]) == in_fractions(line.right[2]) is not None
    assert "≈" not in str(step)


def test_sigmoids_stay_symbols() -> None:
    objective = gn.Objective(gn.Network(2, [gn.Dense(1, "sigmoid")]), "binary_cross_entropy")
    step = gn.explain_step(objective, np.array([0.5, 0.25, 0.0]), [1.0, 1.0], [1.0], fractions=True)
    assert "a1[0] = σ(z1[0]) = σ(3/4) ≈ 0.679179" in str(step)
    assert "δ1[0] = a1[0] - y[0] = σ(3/4) - 1 ≈ -0.320821" in str(step)
    assert disagreement(step.page.lines) < 1e-14


@given(st.lists(st.sampled_from([i / d for d in (1, 2, 3, 5) for i in range(-3, 4)]), min_size=13, max_size=13))
def test_fractions_agree_with_floats(numbers: list[float]) -> None:
    theta, x, y = np.array(numbers[:9]), numbers[9:11], numbers[11:12]
    exact = gn.explain_step(by_hand(), theta, x, y, fractions=True)
    J, gradient = by_hand().value_and_grad(theta, [x], [y])
    np.testing.assert_allclose(exact.loss, float(J), rtol=1e-12, atol=1e-12)
    z = [float(one) for one in exact.step.z[1].ravel()]
    if min(map(abs, z)) > 1e-9:  # at the kink rounding decides for floats, and the fractions for fractions
        np.testing.assert_allclose(exact.gradient, gradient, rtol=1e-11, atol=1e-11)


def test_reading_fractions() -> None:
    assert rational(0.1) == Fraction(1, 10)
    assert rational(math.pi) is None
    assert rational(float("inf")) is None
    assert (0.5 - Exact.of(0.25) / 0.5).fraction == 0
    assert (2.0 / Exact.of(4.0)).fraction == Fraction(1, 2)
    assert Exact.of(1.0).log().fraction == Exact.of(0.0).log1p().fraction == Exact.of(0.0).tanh().fraction == 0
    assert (Exact.of(2.0).exp() * 0.0).fraction == 0
    assert Exact.of(1.0) <= 1.0 <= Exact.of(1.5)


# ---- larger networks ----------------------------------------------------------------------------------------------


def test_larger_networks_show_chosen_units_and_what_is_left() -> None:
    objective, theta, X, Y = problem("relu", "softmax", "cross_entropy", m=6, sizes=(64, 30, 10))
    step = gn.explain_step(objective, theta, X, Y)
    assert [len(shown) for shown in step.step.units] == [3, 3, 3]
    assert disagreement(step.page.lines) < 1e-12
    assert "(61 more: " in str(step)
    assert len(str(step)) < 20_000
    chosen = gn.explain_step(objective, theta, X, Y, units={0: [5], 1: [29], 2: [0, 9]})
    assert chosen.step.units == ((5,), (29,), (0, 9))
    assert disagreement(chosen.page.lines) < 1e-12
    page = chosen.explain_weight("W1", 5, 29)
    assert disagreement(page.lines) < 1e-12
    wide, start, rows, targets = problem("tanh", "identity", "squared_error", sizes=(3, 40, 40, 40, 40, 2))
    page = gn.explain_step(wide, start, rows, targets).explain_weight("W1", 0, 0)
    assert "each ends at δ of layer 3" in page.words
    derivative = wide.net.views(wide.value_and_grad(start, rows, targets)[1])["W1"][0, 0]
    assert math.isclose(evaluate(page.lines[-1].right[-2]), derivative, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": [1.0, 2.0, 3.0]}, "X must be"),
        ({"theta": np.zeros(3)}, r"theta must be \(9,\)"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": "a"}, "learning_rate must be a positive number, received 'a'. For example 0.5"),
        ({"learning_rate": None}, "learning_rate must be a positive number, received None"),
        ({"units": {5: [0]}}, "layers from 0"),
        ({"units": {1: [2]}}, "units of layer 1 must be from 0 to 1"),
        ({"fractions": True, "x": [0.123456789, 1.0]}, r"x\[0, 0\] must be a fraction"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"theta": THIRDS, "x": [1.0, 2.0], "y": [1.0], "learning_rate": 0.5} | change
    with pytest.raises(gn.GlassnetError, match=message):
        gn.explain_step(by_hand(), **arguments)  # type: ignore[arg-type]


def test_what_cannot_be_explained_is_refused() -> None:
    net = gn.Network(2, [gn.Dense(2), gn.BatchNorm(), gn.Dense(1)])
    with pytest.raises(gn.GlassnetError, match="layer 2 must be Dense"):
        gn.explain_step(gn.Objective(net, "squared_error"), net.init(0), [1.0, 2.0], [1.0])
    net = gn.Network(2, [gn.Dense(2, "softmax"), gn.Dense(1)])
    with pytest.raises(gn.GlassnetError, match="element-wise below the output"):
        gn.explain_step(gn.Objective(net, "squared_error"), net.init(0), [1.0, 2.0], [1.0])
    net = gn.Network(2, [gn.Dense(2, "elu"), gn.Dense(1)])
    with pytest.raises(gn.GlassnetError, match="activation of layer 1 must be one of"):
        gn.explain_step(gn.Objective(net, "squared_error"), np.ones(9), [1.0, 2.0], [1.0], fractions=True)
    step = gn.explain_step(by_hand(), THIRDS, [1.0, 2.0], [1.0])
    with pytest.raises(gn.GlassnetError, match=r"unknown weight matrix 'W7'"):
        step.explain_weight("W7", 0, 0)
    with pytest.raises(gn.GlassnetError, match="the index of W1"):
        step.explain_weight("W1", 2, 0)


# ---- how it is written --------------------------------------------------------------------------------------------


def pages() -> list[Page]:
    objective, theta, X, Y = problem("sigmoid", "softmax", "cross_entropy", m=2, l2=0.1)
    step = gn.explain_step(objective, theta, X, Y)
    exercise = gn.make_exercise(1)
    return [step.page, step.explain_weight("W1", 0, 0), exercise.task, exercise.solution]


def test_html_is_well_formed_and_has_no_script() -> None:
    for page in pages():
        html = page.html()
        root = ElementTree.fromstring(html)
        assert len(root.findall(".//tr")) == len(page.lines)
        assert {one.tag for one in root.iter()} & {"script", "link", "img"} == set()
        for parent in root.iter():
            arity = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3}.get(parent.tag)
            assert arity is None or len(parent) == arity
    assert "<script" not in gn.make_exercise(0).html()


def test_latex_can_be_set() -> None:
    """matplotlib's own parser of formulas reads every expression (matrices, which it does not know, excepted)."""
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    for page in pages():
        for line in page.lines:
            for expression in (line.left, *line.right):
                written = latex(expression)
                if "bmatrix" not in written:
                    parser.parse(f"${written}$")
        assert page.latex().count(r"\begin{align*}") == page.latex().count(r"\end{align*}")


def test_parentheses_and_signs() -> None:
    def n(value: float, fraction: str | None = None) -> Number:
        return Number(value, None if fraction is None else Fraction(fraction))

    assert text(Sum((n(1.0), n(-2.0)))) == "1 - 2"
    assert latex(n(4e-9)) == r"4 \cdot 10^{-9}"
    assert latex(n(-0.5, "-1/2")) == r"-\frac{1}{2}"
    assert mathml(n(-0.5, "-1/2")) == "<mrow><mo>−</mo><mfrac><mn>1</mn><mn>2</mn></mfrac></mrow>"
    assert text(Apply("abs", (Symbol("x"),), abs)) == "|x|"
    with pytest.raises(gn.GlassnetError, match="numbers filled in"):
        evaluate(Symbol("x"))


# ---- exercises ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_exercises_repeat_and_teach_something(seed: int) -> None:
    exercise = gn.make_exercise(seed)
    assert str(exercise) == str(gn.make_exercise(seed))
    step = exercise.explanation.step
    objective = step.objective
    J, gradient = objective.value_and_grad(step.theta.astype(float), step.a[0].astype(float), step.Y.astype(float))
    assert exercise.explanation.loss == pytest.approx(float(J), abs=1e-13)
    assert J > 0
    np.testing.assert_allclose(exercise.explanation.gradient, gradient, atol=1e-12)
    assert "≈" not in str(exercise)
    assert all(float(z) != 0 for z in step.z[1].ravel())


def test_exercises_of_other_kinds() -> None:
    for output in ("identity", "sigmoid", "softmax"):
        exercise = gn.make_exercise(5, sizes=(2, 3, 2), activation="tanh", output=output)
        assert disagreement(exercise.solution.lines) < 1e-12
    assert "\\newpage" in gn.make_exercise(0).latex()
    with pytest.raises(gn.GlassnetError, match="unknown activation 'elu'"):
        gn.make_exercise(0, activation="elu")
    with pytest.raises(gn.GlassnetError, match="sizes must be"):
        gn.make_exercise(0, sizes=(2,))
    with pytest.raises(gn.GlassnetError, match="seed must be"):
        gn.make_exercise(-1)
