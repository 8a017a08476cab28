"""engines/program.py: a network as tables: every array has a place of its own, and every weight is in one block."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassnet import BatchNorm, Dense, Dropout, LayerNorm, Network
from glassnet.engines import program
from glassnet.engines import tables as t
from glassnet.layers import LAYERS

DEEP = Network(
    9, [BatchNorm(0.7), Dense(13, "tanh"), Dropout(0.4), Dense(5, bias=False), LayerNorm(1e-3), Dense(3, "softmax")]
)


def layers() -> st.SearchStrategy[object]:
    units, names = st.integers(1, 40), st.sampled_from(["identity", "tanh", "softmax"])
    return st.one_of(
        st.builds(lambda n, f, b: Dense(n, f, bias=b), units, names, st.booleans()),
        st.sampled_from([Dropout(0.2), BatchNorm(), LayerNorm()]),
    )


nets = st.builds(Network, st.integers(1, 40), st.lists(layers(), min_size=1, max_size=6))


def test_there_is_a_kind_for_every_layer() -> None:
    assert {kind.__name__ for kind in program.KINDS} == set(LAYERS)
    assert len(set(program.KINDS.values())) == len(LAYERS)


def test_the_columns_of_the_tables_are_told_apart() -> None:
    numbered = {name: value for name, value in vars(t).items() if name.isupper() and isinstance(value, int)}
    for total in ("LAYER_COLUMNS", "PLAN_LENGTH", "PLACE_LENGTH", "FACT_LENGTH"):
        assert total in numbered
    assert t.LAYER_COLUMNS > t.FIRST_BLOCK
    assert len({t.DENSE, t.DROPOUT, t.BATCH_NORM, t.LAYER_NORM}) == 4


@given(net=nets, m=st.integers(1, 70))
def test_parameters_lie_where_theta_has_them(net: Network, m: int) -> None:
    table = program.write(net, m).layers
    slices = net.layout.slices
    for l, (layer, row) in enumerate(zip(net.layers, table, strict=True), 1):
        names = layer.parameters(net.sizes[l - 1])
        assert (row[t.N_IN], row[t.N_OUT]) == (net.sizes[l - 1], net.sizes[l])
        assert row[t.SIZE] == sum(int(np.prod(shape)) for shape in names.values())
        if names:
            assert row[t.THETA] == min(slices[f"{name}{l}"].start for name in names)
        for name in layer.statistics(net.sizes[l - 1]):
            part = net.state_layout.slices[f"{name}{l}"]
            assert row[t.STATS] <= part.start < part.stop <= row[t.STATS] + 2 * row[t.N_IN]


@given(net=nets, m=st.integers(1, 70) | st.just(9000), lanes=st.sampled_from([0, 4, 8, 16]))
def test_what_is_kept_of_each_layer_has_room_and_does_not_overlap(net: Network, m: int, lanes: int) -> None:
    """The input, a and delta of each layer and what it keeps besides, for m rows each."""
    written = program.write(net, m, lanes=lanes)
    taken = [(0, m * (net.n_inputs + 1))]
    for row in written.layers:
        taken.append((row[t.A], m * row[t.LD]))
        if row[t.Z] != row[t.A]:
            taken.append((row[t.Z], m * row[t.LD]))
        if row[t.GRADS]:
            taken.append((row[t.GRADS], written.parts * row[t.SIZE]))
        if row[t.KIND] == t.LAYER_NORM:
            taken.append((row[t.SCALE], m))
        if row[t.KIND] == t.BATCH_NORM:
            taken += [(row[t.SCALE], row[t.N_IN]), (row[t.MEAN], row[t.N_IN])]
        assert row[t.LD] >= row[t.N_OUT]
        assert row[t.LD_IN] >= row[t.N_IN]
    places = {int(row[t.DELTA]): m * row[t.LD] for row in written.layers[:-1]}
    taken += places.items() - {(int(written.layers[-1][t.OUT]), m * written.layers[-1][t.LD])}
    taken.sort()
    for (start, size), (following, _) in zip(taken, [*taken[1:], (written.memory, 0)], strict=True):
        assert start + size <= following


def test_z_is_kept_where_its_slope_cannot_be_told_from_a() -> None:
    functions = ["tanh", "relu", "identity", "gelu", "softplus", "softmax"]
    table = program.write(Network(3, [*(Dense(4, function) for function in functions), Dense(2)]), 8).layers
    assert [bool(row[t.Z] == row[t.A]) for row in table] == [True, True, True, False, False, False, True]


def test_rows_begin_with_a_vector_where_that_takes_little_room() -> None:
    def places(units: int, lanes: int) -> int:
        return int(program.write(Network(3, [Dense(units), Dense(2)]), 8, lanes=lanes).layers[0][t.LD])

    assert [places(100, lanes) for lanes in (0, 4, 8, 16)] == [101, 104, 104, 112]
    assert [places(50, lanes) for lanes in (8, 16)] == [56, 51], "an eighth more at most"
    assert places(3, 16) == 4
    assert program.write(Network(3, [Dense(100)]), 8, lanes=16).layers[0][t.LD] == 100, "what the loss reads"


@given(net=nets, m=st.integers(1, 70))
def test_each_layer_reads_what_the_one_below_has_written(net: Network, m: int) -> None:
    table = program.write(net, m).layers
    for below, row in pairwise(table):
        assert (row[t.A_IN], row[t.LD_IN]) == (below[t.A], below[t.LD])


@given(net=nets, m=st.integers(1, 70))
def test_every_parameter_is_in_one_block(net: Network, m: int) -> None:
    written = program.write(net, m)
    number = 0
    for layer, row in zip(net.layers, written.layers, strict=True):
        assert row[t.FIRST_BLOCK] == number
        if isinstance(layer, Dense):
            assert row[t.ROWS] * row[t.N_OUT] == row[t.SIZE]
            number += -(-int(row[t.ROWS]) // int(row[t.BLOCK]))
            assert row[t.BLOCK] * row[t.N_OUT] <= written.largest_block
        else:
            number += 1
            assert row[t.SIZE] <= written.largest_block
    assert number == written.blocks


def test_options_are_those_of_the_layers() -> None:
    assert program.write(DEEP, 4).options.tolist() == [[0.7, 1e-6], [0, 0], [0.4, 0], [0, 0], [0, 1e-3], [0, 0]]


def test_large_updates_are_cut_in_blocks() -> None:
    large = program.write(Network(2000, [Dense(2000)]), 8)
    assert large.blocks > 4
    assert large.largest_block < 2 * program.UPDATE_PIECE
    assert program.write(Network(10, [Dense(10)]), 8).blocks == 1


def test_gradients_of_parts_are_added_where_they_are_smaller_than_what_they_come_from() -> None:
    """The other thread's activations and deltas would have to be fetched from its core."""
    first, last = program.write(Network(64, [Dense(100), Dense(10)]), 200).layers
    assert 0 < first[t.GRADS] != last[t.GRADS] > 0
    first, last = program.write(Network(784, [Dense(256), Dense(10)]), 128).layers
    assert first[t.GRADS] == 0 < last[t.GRADS]
    assert program.write(Network(64, [Dense(100), Dense(10)]), 8).layers[0][t.GRADS] == 0, "not in parts"


@given(net=nets, m=st.integers(1, 70))
def test_a_delta_is_read_where_it_was_written(net: Network, m: int) -> None:
    """The last one in the place of z; above a layer without products, where that turns it into its own."""
    table = program.write(net, m).layers
    assert table[-1][t.DELTA] == table[-1][t.OUT]
    for row, above in pairwise(table):
        assert (row[t.DELTA] == above[t.DELTA]) == (above[t.KIND] != t.DENSE)


def test_batches_of_dense_layers_are_cut_in_parts_by_their_shape_alone() -> None:
    dense, mixed = [Dense(100, "relu"), Dense(10, "softmax")], [Dense(100), LayerNorm(), Dense(10)]
    assert program.write(Network(64, dense), 200).parts == 2
    assert program.write(Network(64, dense), 8).parts == 1
    assert program.write(Network(64, mixed), 200).parts == 1
    assert program.write(Network(3000, dense), 200).parts == 1, "weights that are better read once"
    for size in (64, 1024, 1800):
        written = program.write(Network(size, dense), 200)
        rows, block = (written.layers[0][place] for place in (t.ROWS, t.BLOCK))
        assert -(-rows // block) % 2 == 0, "as many blocks for each of two threads"
    assert program.write(Network(64, dense), 8).layers[0][t.BLOCK] == 65


@pytest.mark.parametrize(("m", "cut"), [(1, 1), (256, 2)])
def test_large_products_are_cut_in_pieces_by_their_shape_alone(m: int, cut: int) -> None:
    """In a network whose batches stay whole."""
    first, row, _ = program.write(Network(400, [Dense(400), Dense(400), Dropout(0.5)]), m).layers
    assert (first[t.PIECES], first[t.BACK_PIECES]) == (cut, 1), "nothing goes back through the first layer"
    assert (row[t.PIECES], row[t.BACK_PIECES]) == (cut, cut)
    narrow = program.write(Network(100_000, [Dense(5), Dropout(0.5)]), m).layers[0]
    assert narrow[t.PIECES] == 1
