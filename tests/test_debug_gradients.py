"""Faults planted in programs written by hand are named, right programs pass, and a bad function is said to be one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.debugging import alarm, main, misnamed
from benchmarks.planted import PLANTED, Planted, data_for, names_of, spoiled
from benchmarks.programs import PROGRAMS
from benchmarks.sound import sound
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnet as gn
from glassnet.insight.verdicts import FAULTS

NETWORKS = ("sigmoid", "relu_softmax", "tanh")
FAST = [p for i, p in enumerate(PLANTED) if p.program in NETWORKS and i % 6 == 0] + [
    p for p in PLANTED if p.kind == "several"
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_right_programs_are_found_right(program: str) -> None:
    params, data = data_for(program, 1)
    report = gn.debug_gradients(PROGRAMS[program], params, *data)
    assert report.ok, str(report)
    assert set(report.verdicts) == set(names_of(program).values())
    assert report.network
    assert max(v.error for v in report.verdicts.values()) < 1e-7


@pytest.mark.parametrize("planted", FAST, ids=lambda p: f"{p.kind}, {p.program}")
def test_planted_fault_is_named(planted: Planted) -> None:
    assert misnamed(planted, 21) == {}


@pytest.mark.parametrize("seed", [5010, 5041, 5043, 5114, 5135, 7082, 2001, 2002])  # six that were alarms once
def test_right_program_in_a_random_style_raises_no_alarm(seed: int) -> None:
    said, _ = alarm(seed)
    assert said == "", sound(seed).style


def test_the_figures_ask_for_enough() -> None:
    kinds = {planted.kind for planted in PLANTED}
    assert len(kinds) >= 16
    for kind in kinds:
        assert len({planted.program for planted in PLANTED if planted.kind == kind}) >= 3, kind


def test_the_benchmark_sees_a_debugger_that_is_wrong() -> None:
    """A debugger that calls everything right misses every fault; one that was given spoiled programs raises alarms."""

    def blind(f: Any, params: Any, *data: Any) -> Any:
        return gn.debug_gradients(PROGRAMS["tanh"], params, *data)

    planted = next(p for p in PLANTED if p.program == "tanh")
    assert misnamed(planted, 21, blind) != {}

    def harsh(f: Any, params: Any, *data: Any) -> Any:
        return gn.debug_gradients(lambda *given: (f(*given)[0], 3.3 * np.asarray(f(*given)[1])), params, *data)

    flat = next(seed for seed in range(2000, 2100) if isinstance(sound(seed).params, np.ndarray))
    assert "constant_factor" in alarm(flat, harsh)[0]


def test_every_name_of_a_fault_is_in_the_documentation() -> None:
    page = (Path(__file__).parent.parent / "docs" / "debugging.md").read_text(encoding="utf-8")
    assert [code for code in FAULTS if f"| `{code}` |" not in page] == ["right"]


@pytest.mark.slow
def test_all_figures_are_reached() -> None:
    assert main(["--quick"]) == 0


def small(seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    params = {"W1": rng.normal(size=(3, 4)), "b1": rng.normal(size=4), "W2": rng.normal(size=(4, 2)), "b2": np.zeros(2)}
    return params, rng.normal(size=(9, 3)), rng.normal(size=(9, 2))


def right(p: Any, X: Any, y: Any) -> Any:
    h = np.tanh(X @ p["W1"] + p["b1"])
    r = h @ p["W2"] + p["b2"] - y
    d = r @ p["W2"].T * (1 - h**2)
    return 0.5 * (r**2).sum(), {"W1": X.T @ d, "b1": d.sum(axis=0), "W2": h.T @ r, "b2": r.sum(axis=0)}


def test_what_weights_of_zero_hide_is_shown_near_them() -> None:
    """There dJ/dW1 is 0 whatever its factor: "yours is 0, measured 0" was said to be certainly m times too large."""

    def spoiled(p: Any, X: Any, y: Any) -> Any:
        J, grads = right(p, X, y)
        return J, grads | {"W1": 9 * grads["W1"]}

    params, X, y = small()
    zeros = {name: np.zeros_like(p) for name, p in params.items()}
    wrong = gn.debug_gradients(spoiled, zeros, X, y).verdicts["W1"]
    assert not wrong.ok
    assert wrong.evidence.startswith("your parameters hide it; near them, at [")
    assert wrong.yours == pytest.approx(9 * wrong.measured, rel=1e-6)
    assert wrong.measured != 0
    assert gn.debug_gradients(right, zeros, X, y).ok
    seen = gn.debug_gradients(spoiled, params, X, y).verdicts["W1"]
    assert (seen.nearby, "measured" in seen.evidence) == (False, True)


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(["W1", "b1", "W2", "b2"]),
    st.floats(-50, 50).filter(lambda c: abs(c - 1) > 1e-3 and abs(c) > 1e-3),
    st.integers(0, 100),
)
def test_any_factor_is_seen_in_its_own_array_alone(name: str, c: float, seed: int) -> None:
    params, X, y = small(seed)

    def scaled(p: Any, X: Any, y: Any) -> Any:
        loss, grads = right(p, X, y)
        return loss, grads | {name: c * grads[name]}

    report = gn.debug_gradients(scaled, params, X, y)
    assert [v.name for v in report.verdicts.values() if not v.ok] == [name]
    assert ("wrong_sign" in report.verdicts[name].codes) == (c < 0)
    verdict = report.verdicts[name]
    assert verdict.yours == pytest.approx(c * verdict.measured, rel=1e-6)


def test_a_fault_without_a_name_gets_none() -> None:
    params, X, y = small()

    def odd(p: Any, X: Any, y: Any) -> Any:
        loss, grads = right(p, X, y)
        return loss, grads | {"W1": grads["W1"] + np.sin(np.arange(12.0)).reshape(3, 4)}

    verdict = gn.debug_gradients(odd, params, X, y).verdicts["W1"]
    assert verdict.codes == ("unknown",)
    assert verdict.confidence == "unsure"


def test_it_agrees_with_pytorch_about_what_is_right() -> None:
    torch = pytest.importorskip("torch")
    params, X, y = small()

    def by_torch(p: Any, X: Any, y: Any) -> Any:
        t = {name: torch.tensor(a, requires_grad=True) for name, a in p.items()}
        out = torch.nn.functional.gelu(torch.tensor(X) @ t["W1"] + t["b1"], approximate="tanh") @ t["W2"] + t["b2"]
        loss = torch.nn.functional.huber_loss(out, torch.tensor(y))
        loss.backward()
        return loss.item(), {name: a.grad.numpy() for name, a in t.items()}

    assert gn.debug_gradients(by_torch, params, X, y).ok


def test_relu_at_zero_is_a_kink_and_no_fault() -> None:
    params, X, y = small()
    X[:4] = 0.0
    params["b1"][:] = 0.0

    def relu(p: Any, X: Any, y: Any, at_zero: float) -> Any:
        z = X @ p["W1"] + p["b1"]
        h = np.maximum(z, 0)
        r = h @ p["W2"] + p["b2"] - y
        d = r @ p["W2"].T * np.where(z == 0, at_zero, z > 0)
        return 0.5 * (r**2).sum(), {"W1": X.T @ d, "b1": d.sum(axis=0), "W2": h.T @ r, "b2": r.sum(axis=0)}

    for at_zero in (0.0, 1.0):
        assert gn.debug_gradients(functools.partial(relu, at_zero=at_zero), params, X, y).ok


def test_single_precision_is_said_and_no_fault() -> None:
    params, X, y = small()

    def rounded(p: Any, X: Any, y: Any) -> Any:
        return right({n: a.astype(np.float32) for n, a in p.items()}, X.astype(np.float32), y.astype(np.float32))

    report = gn.debug_gradients(rounded, params, X, y)
    assert report.ok, str(report)
    assert "single precision" in str(report)
    doubled = gn.debug_gradients(
        lambda *a: (rounded(*a)[0], {n: 2 * g for n, g in rounded(*a)[1].items()}), params, X, y
    )
    assert {v.code for v in doubled.verdicts.values()} == {"extra_2"}


def test_many_samples_and_a_large_network_are_sampled() -> None:
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(2000, 30)), rng.normal(size=(2000, 1))
    params = {
        "W1": rng.normal(size=(30, 40)) / 5,
        "b1": np.zeros(40),
        "W2": rng.normal(size=(40, 1)),
        "b2": np.zeros(1),
    }
    report = gn.debug_gradients(right, params, X, y)
    assert report.ok
    assert report.verdicts["W1"].n_compared == 40
    assert "64 were used" in str(report)


def test_the_same_call_gives_the_same_answer() -> None:
    params, X, y = small()
    one, two = (gn.debug_gradients(right, params, X, y) for _ in range(2))
    assert str(one) == str(two)


# functions that cannot be used, or not as they are


def raising(p: Any, X: Any, y: Any) -> Any:
    return right(p, X @ np.ones((5, 5)), y)


class Random:
    """A program with dropout: another mask in each call."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, p: Any, X: Any, y: Any) -> Any:
        return right(p, X * (self.rng.random(X.shape) > 0.5), y)


class RandomGradient(Random):
    def __call__(self, p: Any, X: Any, y: Any) -> Any:
        loss, grads = right(p, X, y)
        return loss, {n: g * (self.rng.random(g.shape) > 0.5) for n, g in grads.items()}


class Accumulating:
    """A program that never sets its gradients to zero."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}

    def __call__(self, p: Any, X: Any, y: Any) -> Any:
        loss, grads = right(p, X, y)
        self.sums = {n: g + self.sums.get(n, 0.0) for n, g in grads.items()}
        return loss, self.sums


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        (raising, "raises", "matmul"),
        (Random(), "random", "not the same from call to call"),
        (RandomGradient(), "random", "the gradients are not"),
        (Accumulating(), "accumulates", "twice the first"),
        (lambda p, X, y: right(p, X, y)[0], "not_a_pair", r"(loss, grads)"),
        (lambda p, X, y: right(p, X, y)[::-1], "not_a_pair", "(grads, loss)"),
        (lambda p, X, y: (right(p, X, y)[0], list(right(p, X, y)[1].values())[:2]), "wrong_structure", "received 2"),
        (lambda p, X, y: (right(p, X, y)[0], "W1"), "wrong_structure", "str"),
        (lambda p, X, y: ((X @ p["W1"]) ** 2, right(p, X, y)[1]), "loss_not_a_number", "(9, 4)"),
        (lambda p, X, y: (None, right(p, X, y)[1]), "loss_not_a_number", "nothing"),
        (lambda p, X, y: (np.nan, right(p, X, y)[1]), "loss_not_finite", "nan"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(function: Any, code: str, words: str) -> None:
    report = gn.debug_gradients(function, *small())
    assert [problem.code for problem in report.problems] == [code]
    assert words in report.problems[0].words
    assert report.problems[0].remedy
    assert not report.ok
    assert code in str(report)
    assert code in report._repr_html_()


def test_where_a_function_raises_is_shown() -> None:
    problem = gn.debug_gradients(raising, *small()).problems[0]
    assert "return right(p, X @ np.ones((5, 5)), y)" in problem.words
    assert "(9, 3), (9, 2)" in problem.remedy


def test_arguments_changed_in_place_are_named_and_the_gradients_still_judged() -> None:
    params, X, y = small()

    def stepping(p: Any, X: Any, y: Any) -> Any:
        loss, grads = right(p, X, y)
        for name in p:
            p[name] -= 0.1 * grads[name]
        return loss, grads

    def scaling(p: Any, X: Any, y: Any) -> Any:
        X /= 2.0
        return right(p, X, y)

    for function, code in ((stepping, "changes_params"), (scaling, "changes_data")):
        before = {n: a.copy() for n, a in params.items()}, X.copy()
        report = gn.debug_gradients(function, params, X, y)
        assert [p.code for p in report.problems] == [code]
        assert all(v.ok for v in report.verdicts.values())
        assert not report.ok
        assert all(np.array_equal(params[n], before[0][n]) for n in params)
        assert np.array_equal(X, before[1])


@pytest.mark.parametrize(
    ("gradient", "code"),
    [
        (lambda g: None, "missing"),
        (lambda g: g * np.nan, "non_finite"),
        (lambda g: 0 * g, "zero"),
        (lambda g: g.ravel(), "wrong_shape"),
        (lambda g: g[:2], "shape_unknown"),
        (lambda g: g.T, "transposed"),
    ],
)
def test_a_gradient_that_is_none_or_of_a_wrong_shape(gradient: Any, code: str) -> None:
    def spoilt(p: Any, X: Any, y: Any) -> Any:
        loss, grads = right(p, X, y)
        return loss, grads | {"W1": gradient(grads["W1"])}

    report = gn.debug_gradients(spoilt, *small())
    assert report.verdicts["W1"].codes[0] == code
    assert all(report.verdicts[name].ok for name in ("b1", "W2", "b2"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, p, X, y: gn.debug_gradients(3, p, X, y), "loss_and_grads must be a function"),
        (lambda f, p, X, y: gn.debug_gradients((f, f, f), p, X, y), "loss_and_grads must be a function"),
        (lambda f, p, X, y: gn.debug_gradients(f, {"W1": "x"}, X, y), "params must be arrays"),
        (lambda f, p, X, y: gn.debug_gradients(f, {"W1": np.full(3, np.nan)}, X, y), "params must be finite"),
        (lambda f, p, X, y: gn.debug_gradients(f, p, X, y, tolerance=0.0), "tolerance must be between 0 and 1"),
        (lambda f, p, X, y: gn.debug_gradients(f, p, X, y, max_entries=0), "max_entries must be at least 2"),
        (lambda f, p, X, y: gn.debug_gradients(f, np.ones(6), X, y, shapes={"W": (2, 2)}), "shapes must be"),
    ],
)
def test_bad_arguments(call: Any, message: str) -> None:
    with pytest.raises(gn.GlassnetError, match=message):
        call(right, *small())


def test_a_flat_vector_is_cut_by_the_shapes_that_are_given() -> None:
    params, X, y = small()
    shapes = {name: a.shape for name, a in params.items()}

    def flat(theta: Any, X: Any, y: Any) -> Any:
        parts = np.split(theta, np.cumsum([a.size for a in params.values()])[:-1])
        loss, grads = right({n: v.reshape(shapes[n]) for n, v in zip(shapes, parts, strict=True)}, X, y)
        return loss, np.concatenate([grads[n].ravel() * (-1 if n == "W2" else 1) for n in shapes])

    theta = np.concatenate([a.ravel() for a in params.values()])
    report = gn.debug_gradients(flat, theta, X, y, shapes=shapes)
    assert {n: v.code for n, v in report.verdicts.items()} == {
        "W1": "right",
        "b1": "right",
        "W2": "wrong_sign",
        "b2": "right",
    }


def test_the_report_is_text_and_html_that_say_the_same() -> None:
    planted = next(p for p in PLANTED if p.kind == "several")
    params, data = data_for(planted.program, 21, planted.sizes, planted.m, planted.lam)
    report = gn.debug_gradients(spoiled(planted.program, planted.edit), params, *data)
    text, html = str(report), report._repr_html_()
    for verdict in report.verdicts.values():
        assert verdict.name in text
        assert verdict.name in html
        assert verdict.code in text.replace("right:", "right")
        assert verdict.code in html
    assert "<script" not in html
    assert max(len(line) for line in text.splitlines()) <= 110
