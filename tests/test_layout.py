"""layout.py: views share memory, and pack is their inverse."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassnet.errors import GlassnetError
from glassnet.layout import Layout

SHAPES = st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), max_size=6)
LAYOUT = Layout((("W", (2, 3)), ("b", (3,)), ("u0", ())))


def named(shapes: list[tuple[int, ...]]) -> Layout:
    return Layout(tuple((f"p{i}", shape) for i, shape in enumerate(shapes)))


@given(shapes=SHAPES)
def test_pack_inverts_views(shapes: list[tuple[int, ...]]) -> None:
    layout = named(shapes)
    theta = np.arange(float(layout.size))
    views = layout.views(theta)
    assert {name: view.shape for name, view in views.items()} == dict(layout.shapes)
    np.testing.assert_array_equal(layout.pack(views), theta)


@given(shapes=SHAPES, lead=st.lists(st.integers(1, 3), max_size=2), order=st.sampled_from("CF"))
def test_views_are_never_copies(shapes: list[tuple[int, ...]], lead: list[int], order: str) -> None:
    layout = named(shapes)
    theta = np.zeros((*lead, layout.size), order=order)
    for number, (name, view) in enumerate(layout.views(theta).items(), 1):
        assert view.shape == (*lead, *dict(layout.shapes)[name])
        view[...] = number
    sizes = [prod(shape) for shape in shapes]
    expected = np.repeat(np.arange(1.0, len(sizes) + 1), sizes)
    np.testing.assert_array_equal(theta, np.broadcast_to(expected, theta.shape))


@given(shapes=SHAPES)
def test_slices_part_the_vector(shapes: list[tuple[int, ...]]) -> None:
    layout = named(shapes)
    counted = np.zeros(layout.size, int)
    for part in layout.slices.values():
        counted[part] += 1
    assert (counted == 1).all()
    assert layout.size == sum(prod(shape) for shape in shapes)


def test_views_of_a_stack_are_views_of_each_row() -> None:
    theta = np.random.default_rng(0).normal(size=(4, LAYOUT.size))
    for s, row in enumerate(theta):
        for name, view in LAYOUT.views(row).items():
            np.testing.assert_array_equal(LAYOUT.views(theta)[name][s], view)


def test_mask() -> None:
    assert LAYOUT.mask(["b", "u0"]).tolist() == [False] * 6 + [True] * 4
    assert LAYOUT.mask([]).sum() == 0


def test_pack_takes_lists_and_a_dtype() -> None:
    theta = LAYOUT.pack({"b": [7, 8, 9], "W": [[1, 2, 3], [4, 5, 6]], "u0": 10}, np.float32)
    assert theta.dtype == np.float32
    assert theta.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LAYOUT.views(np.zeros(9)), r"theta must be \(\.\.\., 10\), received \(9,\)"),
        (lambda: LAYOUT.views(np.array(0.0)), r"theta must be \(\.\.\., 10\), received \(\)"),
        (lambda: LAYOUT.pack({"W": 0, "c": 0}), r"named W, b, u0; missing: \['b', 'u0'\], unknown: \['c'\]"),
        (lambda: LAYOUT.pack({"W": np.zeros((3, 2)), "b": 0, "u0": 0}), r"W must be \(2, 3\), received \(3, 2\)"),
        (lambda: LAYOUT.pack({"W": np.zeros((2, 3)), "b": 0, "u0": 0}), r"b must be \(3,\), received \(\)"),
        (lambda: Layout((("W", (1,)), ("W", (2,)))), "names of a Layout must be different from each other"),
    ],
)
def test_refusals(call: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        call()
