"""engines/compiled.py: the engine, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from engine_runs import BOUNDS, Case, agree, check, compiled, fallen_back, same, small, watched
from glassnet import Dense, Dropout, Network, Objective
from glassnet.arrays import Array
from glassnet.engines import fusing, get_engine

# ---- the engine ---------------------------------------------------------------------------------------------------


def test_the_engine_has_a_name_and_a_loop_of_its_own() -> None:
    assert get_engine("numba").name == "numba"
    assert fusing(get_engine("numba")) is get_engine("numba")
    assert fusing(get_engine("numpy")) is None


def test_single_evaluations_are_those_of_the_reference() -> None:
    one = small("gelu", "softmax", "cross_entropy", l2=0.1)
    ours, theirs = (replace(one.objective, engine=engine) for engine in ("numba", "numpy"))
    J, g = ours.value_and_grad(one.theta, one.X, one.Y)
    K, h = theirs.value_and_grad(one.theta, one.X, one.Y)
    assert J == K
    np.testing.assert_array_equal(g, h)
    np.testing.assert_array_equal(ours.jacobian(one.theta, one.X), theirs.jacobian(one.theta, one.X))


def test_the_engine_of_the_objective_is_the_one_that_runs() -> None:
    one = small()
    objective = replace(one.objective, engine="numba")
    with watched() as loops:
        run = gn.train(objective, one.theta, one.X, one.Y, epochs=3, batch_size=16, rng=3, optimizer="adam")
    assert len(loops) == 1
    assert same(run, compiled(one, optimizer="adam"))


def test_two_runs_in_turn_do_not_share_memory() -> None:
    one, other = small(), small("relu", "softmax", "cross_entropy")
    first = compiled(one)
    compiled(other)
    kept = first.theta.copy(), [slot.copy() for slot in first.rule_state.slots]
    second = compiled(one)
    assert same(first, second)
    np.testing.assert_array_equal(first.theta, kept[0])
    assert not np.shares_memory(first.theta, second.theta)
    assert first.theta.flags.writeable


# ---- what it is given ---------------------------------------------------------------------------------------------


def put_between(a: Array) -> Array:
    """The same numbers, not one beside the other: every third row and second column of a larger array."""
    room = np.full((3 * len(a), 2 * a.shape[1]), -99.0)
    room[1::3, ::2] = a
    return room[1::3, ::2]


def misaligned(a: Array) -> Array:
    room = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    room[...] = a
    return room


def in_a_record(a: Array) -> Array:
    records = np.zeros(len(a), [("flag", "i1"), ("values", "f8", a.shape[1])])
    records["values"] = a
    return records["values"]


def read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


FORMS: dict[str, Callable[[Array], Any]] = {
    "list": lambda a: a.tolist(),
    "float32": lambda a: a.astype(np.float32),
    "float16": lambda a: a.astype(np.float16),
    "int64": lambda a: a.astype(np.int64),
    "int8": lambda a: a.astype(np.int8),
    "Fortran": np.asfortranarray,
    "rows backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "columns backwards": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "both backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every other column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "far apart": put_between,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "read-only": read_only,
    "misaligned": misaligned,
    "a field of records": in_a_record,
    "big-endian": lambda a: a.astype(">f8"),
}
WHOLE = small()
WHOLE = replace(WHOLE, X=np.rint(4 * WHOLE.X), Y=np.rint(4 * WHOLE.Y))
CONTIGUOUS = {dtype: compiled(WHOLE, dtype) for dtype in BOUNDS}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_data_changes_nothing(form: str, dtype: type) -> None:
    """To the bit: whatever they were, the numbers reach the loop as those of theta's dtype."""
    x, y = FORMS[form](WHOLE.X), FORMS[form](WHOLE.Y)
    for given in (replace(WHOLE, X=x), replace(WHOLE, Y=y), replace(WHOLE, X=x, Y=y)):
        assert same(compiled(given, dtype), CONTIGUOUS[dtype])


def test_booleans_are_zeros_and_ones() -> None:
    x, y = WHOLE.X > 0, WHOLE.Y > 0
    plain = compiled(replace(WHOLE, X=x.astype(float), Y=y.astype(float)))
    assert same(compiled(replace(WHOLE, X=x, Y=y)), plain)


def test_one_row_said_many_times() -> None:
    said = replace(WHOLE, X=np.broadcast_to(WHOLE.X[:1], WHOLE.X.shape))
    assert same(compiled(said), compiled(replace(said, X=said.X.copy())))


def test_rows_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", WHOLE.X)
    np.save(tmp_path / "y.npy", WHOLE.Y.astype(np.float32))
    mapped = replace(WHOLE, X=np.load(tmp_path / "x.npy", mmap_mode="r"), Y=np.load(tmp_path / "y.npy", mmap_mode="r"))
    assert same(compiled(mapped), CONTIGUOUS[np.float64])


def test_doubles_under_a_theta_of_singles() -> None:
    """Rows that float32 cannot hold: they are rounded when they are gathered, as the reference does it."""
    agree(small(), np.float32)
    agree(small("relu", "softmax", "cross_entropy"), np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_a_theta_of_another_dtype_runs_all_the_same(dtype: type) -> None:
    check(fallen_back(small(), dtype), small().run("numpy", dtype), 0.0)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, bool])
def test_weights_of_any_kind(kind: type) -> None:
    weights = (np.arange(41) % 4).astype(kind)
    exact = small().run("numpy", sample_weight=weights.astype(float))
    check(compiled(small(), sample_weight=weights), exact, 1e-6 if kind is np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_nothing_passed_in_is_changed(dtype: type) -> None:
    net = Network(3, [Dense(4, "tanh"), gn.BatchNorm(0.5), Dropout(0.1), Dense(2)])
    rng = np.random.default_rng(0)
    arrays = [net.init(rng=0, dtype=dtype), *(rng.normal(size=s) for s in ((30, 3), (30, 2), (5, 3), (5, 2)))]
    arrays += [np.arange(30.0), net.init_state(dtype)]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    theta, x, y, held_x, held_y, weights, state = arrays
    one = Case(Objective(net, "squared_error", l1=0.1), theta, x, y)
    options = {"sample_weight": weights, "state": state, "average": 0.9, "optimizer": "adam"}
    first = compiled(one, dtype, **options)
    rest = compiled(one, dtype, validation=(held_x, held_y), rule_state=first.rule_state, **options)
    assert not np.array_equal(rest.theta, theta)
    assert not np.array_equal(rest.state, state)
    assert all(np.array_equal(now, then) for now, then in zip(arrays, before, strict=True))
    assert not any(np.shares_memory(rest.theta, array) for array in [*arrays, first.theta])


def test_the_state_of_the_rule_that_is_passed_in_is_not_changed() -> None:
    first = compiled(small(), optimizer="adam")
    kept = [slot.copy() for slot in first.rule_state.slots]
    compiled(small(), optimizer="adam", rule_state=first.rule_state)
    assert all(np.array_equal(slot, then) for slot, then in zip(first.rule_state.slots, kept, strict=True))
