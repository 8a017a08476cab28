"""full_batch.py: J and its gradient over all rows, by blocks, lanes and threads, in both engines."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glassnet as gn
from glassnet.engines import AddUp
from glassnet.full_batch import LANES, FullBatch, blocks_of, lanes_of


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("m", [2, 9, 17000])
def test_many_rows_are_evaluated_block_by_block(m: int, weighted: bool, engine: str) -> None:
    """The witness is the objective on all rows at once."""
    rng = np.random.default_rng(0)
    net = gn.Network(3, [gn.Dense(20, "tanh"), gn.Dense(2, "softmax")])
    objective = gn.Objective(net, "cross_entropy", l1=0.01, l2=0.1, engine=engine)
    X, Y, theta = rng.normal(size=(m, 3)), np.eye(2)[rng.integers(0, 2, m)], net.init(0)
    weights = rng.uniform(0.1, 2.0, m) if weighted else None
    J, grad = FullBatch(objective, theta, *objective.check(X, Y, weights))()
    assert theta.tobytes() == net.init(0).tobytes(), "nothing takes a step"
    whole, slope = objective.value_and_grad(theta, X, Y, weights)
    np.testing.assert_allclose(J, whole, rtol=1e-12)
    np.testing.assert_allclose(grad, slope, rtol=1e-9, atol=1e-14)


@given(m=st.integers(1, 100_000), width=st.integers(1, 3000), norm=st.booleans())
def test_lanes_hold_every_row_once(m: int, width: int, norm: bool) -> None:
    net = gn.Network(3, [gn.Dense(width), *([gn.BatchNorm()] if norm else []), gn.Dense(2)])
    lanes = lanes_of(net, m)
    rows = [row for lane in lanes for part in lane for row in (part.start, part.stop)]
    assert rows[0] == 0
    assert rows[-1] == m
    assert rows[1:-1:2] == rows[2:-1:2], "each block begins where the last one ended"
    assert all(part.start < part.stop for lane in lanes for part in lane)
    assert len(lanes) in (1, 2, LANES)
    assert (len(lanes) == 1) == (blocks_of(net, m) == 1)
    sizes = [sum(part.stop - part.start for part in lane) for lane in lanes]
    assert max(sizes) - min(sizes) <= 1, "as much work for each"


@given(rows=st.integers(1, 1000), batch=st.integers(1, 400), others=st.integers(0, 50))
def test_batches_count_by_their_rows(rows: int, batch: int, others: int) -> None:
    batch, total = min(batch, rows), rows + others
    (shares,) = AddUp(batch, rows, total).numbers(np.arange(1, -(-rows // batch) + 1), 0.0)
    np.testing.assert_allclose(shares.sum(), rows / total)
    assert (shares > 0).all()


COMPILED = {
    "normalised": ([gn.Dense(9, "tanh"), gn.BatchNorm(), gn.Dense(5), gn.LayerNorm(), gn.Dense(2)], "huber"),
    "softmax inside": ([gn.Dense(9, "softmax"), gn.Dense(2, "sigmoid")], "binary_cross_entropy"),
    "your own": ([gn.Dense(9, (np.sin, lambda z, a: np.cos(z))), gn.Dense(2, "softmax")], "squared_error"),
}


@pytest.mark.parametrize("kind", COMPILED)
def test_a_function_compiled_once_is_evaluated_at_many_points(kind: str) -> None:
    """Also after a point where J is no number; the witness is the reference engine."""
    rng = np.random.default_rng(0)
    layers, loss = COMPILED[kind]
    net = gn.Network(3, layers)
    X, Y, theta = rng.normal(size=(600, 3)), rng.uniform(0.1, 0.9, size=(600, 2)), net.init(0)
    Y /= Y.sum(axis=1, keepdims=True)
    objective = gn.Objective(net, loss, l2=0.1, engine="numba")
    function = FullBatch(objective, theta, *objective.check(X, Y, None))
    assert function.loops is not None
    for scale in (1.0, 0.5, np.nan, 1.5):
        theta[:] = scale * net.init(1)
        J, grad = function()
        if np.isnan(scale):
            assert not np.isfinite(J)
            continue
        whole = gn.Objective(net, loss, l2=0.1, engine="numpy").evaluate(
            theta, *objective.check(X, Y, None), None, gn.layers.Mode(training=True)
        )
        np.testing.assert_allclose(J, whole[0], rtol=1e-12)
        np.testing.assert_allclose(grad, whole[1], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "cg", "newton-cg"])
def test_solvers_go_the_same_way_in_both_engines(method: str) -> None:
    rng = np.random.default_rng(0)
    net = gn.Network(4, [gn.Dense(6, "tanh"), gn.Dense(3, "softmax")])
    objective = gn.Objective(net, "cross_entropy", l2=0.01)
    X, Y = rng.normal(size=(50, 4)), np.eye(3)[rng.integers(0, 3, 50)]
    one, other = (
        gn.minimize(objective, net.init(0), X, Y, method=method, max_iter=8, engine=engine)
        for engine in ("numpy", "numba")
    )
    np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-9)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_number_of_threads_changes_no_bit(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are summed in lanes, and the lanes in order, whoever works on them; each thread is really used."""
    rng = np.random.default_rng(0)
    net = gn.Network(10, [gn.Dense(60, "relu"), gn.Dense(3, "softmax")])
    objective = gn.Objective(net, "cross_entropy", l2=1e-3, engine=engine)
    X, Y, theta = rng.normal(size=(9000, 10)), np.eye(3)[rng.integers(0, 3, 9000)], net.init(0)
    assert blocks_of(net, 9000) > 8
    runs = [gn.minimize(objective, theta, X, Y, max_iter=5, n_threads=n) for n in (1, 2, 3, 7)]
    for run in runs[1:]:
        assert run.theta.tobytes() == runs[0].theta.tobytes()
        np.testing.assert_array_equal(run.history["loss"], runs[0].history["loss"])
    seen = set()
    some = FullBatch._some

    def watched(self, *arguments):
        seen.add(threading.current_thread().name)
        return some(self, *arguments)

    monkeypatch.setattr(FullBatch, "_some", watched)
    with FullBatch(objective, theta, *objective.check(X, Y, None), n_threads=3) as function:
        assert function.team == 3
        function()
    assert 2 <= len(seen) <= 3
    assert {name for name in seen if not name.startswith("glassnet")} == {threading.current_thread().name}
    assert FullBatch(objective, theta, *objective.check(X[:50], Y[:50], None), n_threads=3).team == 1, "too little work"
    with pytest.raises(gn.GlassnetError, match="n_threads"):
        gn.minimize(objective, theta, X, Y, n_threads=0)


def test_a_long_way_over_all_rows_comes_back_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that Ctrl-C is heard; the result is the same to the last bit, and a loss that is no number ends it at once."""
    compiled = pytest.importorskip("glassnet.engines.compiled")
    rng = np.random.default_rng(0)
    net = gn.Network(10, [gn.Dense(60, "relu"), gn.Dense(3, "softmax")])
    objective = gn.Objective(net, "cross_entropy", l2=1e-3, engine="numba")
    X, Y, theta = rng.normal(size=(9000, 10)), np.eye(3)[rng.integers(0, 3, 9000)], net.init(0)

    def evaluated() -> tuple[int, float, bytes]:
        function, calls = FullBatch(objective, theta, *objective.check(X, Y, None)), 0
        assert function.loops is not None

        for loop in function.loops:
            run = loop.run

            def counted(*arguments, run=run):
                nonlocal calls
                calls += 1
                run(*arguments)

            loop.run = counted
        J, grad = function()
        return calls, J, grad.tobytes()

    once, J, grad = evaluated()
    monkeypatch.setattr(compiled, "LONGEST", 1)
    often, again, same = evaluated()
    assert once == 1
    assert often == sum(len(lane) for lane in lanes_of(net, len(X))) > 8
    assert (J, grad) == (again, same)
    theta[:] = np.nan
    assert not np.isfinite(evaluated()[1])
    assert evaluated()[0] == LANES, "each lane ends with its first block"


def test_a_fault_in_a_thread_reaches_the_caller() -> None:
    rng = np.random.default_rng(0)
    net = gn.Network(10, [gn.Dense(60, (np.sin, lambda z, a: np.cos(z))), gn.Dense(1)])
    objective = gn.Objective(net, "squared_error", engine="numpy")
    X, Y = rng.normal(size=(9000, 10)), rng.normal(size=(9000, 1))
    with FullBatch(objective, net.init(0), *objective.check(X, Y, None), n_threads=2) as function:
        function.data = (X, Y[:5], None)
        with pytest.raises(ValueError, match="broadcast"):
            function()
