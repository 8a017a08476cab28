"""engines/compiled.py: what it is given, what it cannot compile, and how its runs end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

import glassnet as gn
from engine_runs import BOUNDS, Case, agree, apart, case, check, compiled, fallen_back, same, small, watched
from glassnet import SGD, ClipNorm, Dense, Dropout, Network, Objective
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.engines import fusing, get_engine
from glassnet.layers import LAYERS
from glassnet.optimizers import RuleState

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


# ---- a user's own functions ---------------------------------------------------------------------------------------

FACTOR, POWER = 0.7, 2


def squash(z: Array) -> Array:
    return z / (1.0 + np.abs(z))


def helped(z: Array) -> Array:
    return FACTOR * squash(z) + 0.1 * z**POWER


def steps(z: Array) -> Array:
    total = z * 0
    for k in range(1, 4):
        total = total + z**k / (10 * k)
    return total


def in_place(z: Array) -> Array:
    a = np.tanh(z)
    a *= 2
    a += 1
    return a


def numbered(slope: float, offset: int) -> tuple[Any, Any]:
    return lambda z: np.where(z > 0, z, slope * z) + offset, lambda z, a: np.where(z > 0, 1.0, slope)


OWN_ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "lambda": (lambda z: np.tanh(z), lambda z, a: 1 - a * a),
    "whole numbers": (lambda z: 2 * z + z**2 / 3, lambda z, a: 2 + 2 * z / 3),
    "whole numbers inside": (lambda z: 1 / (1 + np.exp(-2 * z)), lambda z, a: 2 * a * (1 - a)),
    "whole numbers in tanh": (lambda z: np.tanh(3 * z / 2), lambda z, a: 3 * (1 - np.tanh(3 * z / 2) ** 2) / 2),
    "where": (lambda z: np.where(z > 0, z, 0), lambda z, a: np.where(z > 0, 1, 0)),
    "comparison": (lambda z: z * (z > 0), lambda z, a: (z > 0) * 1.0),
    "boolean derivative": (lambda z: np.maximum(z, 0), lambda z, a: z > 0),
    "both sides": (lambda z: np.where((z > -1) & (z < 1), z, np.sign(z)), lambda z, a: (np.abs(z) < 1) * 1.0),
    "exp, log": (lambda z: np.log(1 + np.exp(z)), lambda z, a: 1 - np.exp(-a)),
    "expm1, log1p": (lambda z: np.log1p(np.expm1(z) ** 2), lambda z, a: np.log1p(z * z)),
    "others of NumPy's": (lambda z: np.sin(np.pi * z) + np.arctan(z), lambda z, a: np.sqrt(1 + z * z) + np.hypot(z, 1)),
    "a ufunc": (np.tanh, lambda z, a: 1.0 - a**2),
    "asarray": (lambda z: np.asarray(np.tanh(z)), lambda z, a: np.asarray(1 - a * a)),
    "another function": (helped, lambda z, a: FACTOR / (1.0 + np.abs(z)) ** 2 + 0.2 * z),
    "a loop": (steps, lambda z, a: np.ones_like(z)),
    "in place": (in_place, lambda z, a: np.zeros_like(z) + 2 - (a - 1) ** 2 / 2),
    "closure": numbered(0.3, 1),
    "another closure": numbered(0.1, -2),
    "NumPy's numbers": numbered(np.float64(0.2), np.int64(1)),
    "builtin abs": (lambda z: abs(z) / 2, lambda z, a: np.sign(z) / 2),
}


@pytest.mark.parametrize("own", OWN_ACTIVATIONS)
def test_an_activation_of_your_own_is_compiled(own: str) -> None:
    agree(small(OWN_ACTIVATIONS[own]))
    agree(small("tanh", OWN_ACTIVATIONS[own]), epochs=1)


def pinball(q: float) -> tuple[Any, Any]:
    return lambda a, y: np.where(y > a, q * (y - a), (q - 1) * (y - a)), lambda a, y: np.where(y > a, -q, 1 - q)


OWN_LOSSES: dict[str, tuple[Any, Any]] = {
    "lambda": (lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y)),
    "log-cosh": (lambda a, y: np.log(np.cosh(a - y)), lambda a, y: np.tanh(a - y)),
    "closure": pinball(0.8),
    "another closure": pinball(0.3),
    "negative": (lambda a, y: a * y, lambda a, y: y),
}


@pytest.mark.parametrize("own", OWN_LOSSES)
def test_a_loss_of_your_own_is_compiled(own: str) -> None:
    agree(small(loss=OWN_LOSSES[own]))
    agree(small("tanh", "softmax", OWN_LOSSES[own]))
    agree(small("tanh", OWN_ACTIVATIONS["lambda"], OWN_LOSSES[own], l2=0.1), sample_weight=np.arange(41.0))


def times(s: float) -> list[tuple[str, Any]]:
    """The same code with another number in it, held in every way in which a function can hold one."""
    array, long = np.array([s]), np.zeros(3000)
    long[1500] = s
    return [
        ("closure", lambda z: s * np.tanh(z)),
        ("default", lambda z, s=s: s * np.tanh(z)),
        ("array", lambda z: array[0] * np.tanh(z)),
        ("long array", lambda z: long[1500] * np.tanh(z)),
        ("tuple", lambda z, s=(1.0, s): s[1] * np.tanh(z)),
        ("keyword", keyword(s)),
        ("partial", partial(lambda s, z: s * np.tanh(z), s)),
        ("global", exec_global(s)),
    ]


def keyword(s: float) -> Any:
    def f(z: Array, *, s: float = s) -> Array:
        return s * np.tanh(z)

    return f


def exec_global(s: float) -> Any:
    names: dict[str, Any] = {"np": np, "SCALE": s}
    exec("def f(z):\n    return SCALE * np.tanh(z)\n", names)
    return names["f"]


@pytest.mark.parametrize("numbers", [(1.0, 3.0), (0.1234567891, 0.1234567899)])
def test_the_same_code_with_another_number_is_another_function(numbers: tuple[float, float]) -> None:
    """Kernels are kept by what a function is: one that only looks the same must not stand for it."""
    for pair in zip(*(times(s) for s in numbers), strict=True):
        for kind, f in pair:
            own = small((f, lambda z, a: np.ones_like(z)))
            far = apart(own.run("numba").theta, own.run("numpy").theta)
            assert far <= 1e-12, kind


def test_a_function_that_changes_between_runs_is_compiled_again() -> None:
    names: dict[str, Any] = {"np": np, "SCALE": 1.0}
    exec("def f(z):\n    return SCALE * np.tanh(z)\n", names)
    own = small((names["f"], lambda z, a: np.ones_like(z)))
    agree(own, np.float64)
    names["SCALE"] = 2.0
    agree(own, np.float64)


# ---- what cannot be compiled --------------------------------------------------------------------------------------

NAMED = {"tanh": np.tanh}


class Squasher:
    scale = 1.0

    def f(self, z: Array) -> Array:
        return self.scale * np.tanh(z)

    def __call__(self, z: Array) -> Array:
        return self.scale * np.tanh(z)


def tried(z: Array) -> Array:
    try:
        return np.tanh(z)
    except ValueError:
        return z


def counted(z: Array) -> Array:
    global COUNT
    COUNT = 1
    return np.tanh(z)


def masked(z: Array) -> Array:
    a = z.copy()
    a[a < 0] = 0
    return a


COUNT = 0
UNLIKE: dict[str, Any] = {
    "rows": lambda z: z - z.max(axis=-1, keepdims=True),
    "sum of all": lambda z: z - np.sum(z, axis=-1, keepdims=True),
    "reduce": lambda z: z - np.add.reduce(z, axis=-1, keepdims=True),
    "shape": lambda z: z / z.shape[-1],
    "numbers of its own": lambda z: z * np.arange(z.shape[-1]) / 10,
    "a dictionary": lambda z: NAMED["tanh"](z),
    "a method": Squasher().f,
    "an object": Squasher(),
    "an attribute": lambda z: Squasher.scale * np.tanh(z),
    "partial": partial(lambda s, z: s * np.tanh(z), 2.0),
    "try": tried,
    "a global that is written": counted,
    "mask": masked,
    "out": lambda z: np.tanh(z, out=np.empty_like(z)),
    "a function inside": lambda z: (lambda u: np.tanh(u))(z),
    "another library's ufunc": special.erf,
    "another library's ufunc inside": lambda z: special.erf(z),
    "no ufunc": lambda z: np.real(np.tanh(z)),
    "another dtype": lambda z: np.tanh(z.astype(np.float64)).astype(z.dtype),
}  # fmt: skip


@pytest.mark.parametrize("own", UNLIKE)
def test_what_cannot_be_compiled_runs_all_the_same(own: str) -> None:
    """On the reference, to the bit; or compiled, where the engine has learnt it since."""
    for layers in (
        [Dense(5, (UNLIKE[own], lambda z, a: np.ones_like(z))), Dense(4)],
        [Dense(4, (UNLIKE[own], helped2))],
    ):
        own_case = case(layers).but(epochs=1)
        check(own_case.run("numba"), own_case.run("numpy"), 1e-12)


def helped2(z: Array, a: Array) -> Array:
    return np.ones_like(a)


@pytest.mark.parametrize("kind", ["clip", "float32"])
def test_numpys_functions_that_are_no_ufuncs(kind: str) -> None:
    f = {"clip": lambda z: np.clip(z, -1.0, 1.0), "float32": lambda z: np.float32(2.0) * np.tanh(z)}[kind]
    own = small((f, lambda z, a: np.ones_like(z)))
    check(own.run("numba"), own.run("numpy"), 1e-12)


ROWWISE = Activation(
    "own softmax",
    lambda z: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True),
    lambda z, a: a[..., :, None] * (np.eye(a.shape[-1]) - a[..., None, :]),
    pull=lambda a, dA: a * (dA - (a * dA).sum(axis=-1, keepdims=True)),
)


@pytest.mark.parametrize("layers", [[Dense(5, ROWWISE), Dense(4)], [Dense(5, "tanh"), Dense(4, ROWWISE)]])
def test_a_row_wise_activation_of_your_own_falls_back(layers: list[Any]) -> None:
    own = case(layers)
    check(fallen_back(own), own.run("numpy"), 0.0)


ROW_LOSSES: dict[str, tuple[Any, Any]] = {
    "sees rows": (lambda a, y: (a - y) ** 2 + 0 * a.sum(-1, keepdims=True), lambda a, y: 2 * (a - y)),
    "weighs outputs": (
        lambda a, y: np.array([1, 2, 3, 4]) * (a - y) ** 2,
        lambda a, y: np.array([2, 4, 6, 8]) * (a - y),
    ),
}


@pytest.mark.parametrize("own", ROW_LOSSES)
def test_a_loss_that_sees_more_than_one_output_falls_back(own: str) -> None:
    check(fallen_back(small(loss=ROW_LOSSES[own])), small(loss=ROW_LOSSES[own]).run("numpy"), 0.0)


# ---- rules of your own --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stepping:
    """A rule with `init` and `step` alone: all that the training loop asks of one."""

    learning_rate: float = 0.01

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        return RuleState(0, (), "Stepping")

    def step(self, grad: Array, state: RuleState, rate: float, theta: Array | None = None) -> tuple[Array, RuleState]:
        return -rate * np.sign(grad), state._replace(t=state.t + 1)


@dataclass(frozen=True)
class Own:
    """A rule with a formula of its own and any number of slots."""

    slots: int = 1
    learning_rate: float = 0.01

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        return RuleState(0, tuple(np.zeros_like(theta) for _ in range(self.slots)), type(self).__name__)

    def step(self, grad: Array, state: RuleState, rate: float, theta: Array | None = None) -> tuple[Array, RuleState]:
        step, slots = self.formula(grad, theta, state.slots, self.numbers(state.t + 1, rate))
        return step, RuleState(state.t + 1, slots, type(self).__name__)

    @property
    def formula(self) -> Any:
        return {0: by_sign, 1: by_memory, 4: by_four}[self.slots]

    def numbers(self, t: Any, rate: Any) -> tuple[Any, ...]:
        return (rate,)


def by_sign(g: Array, theta: Array, slots: Any, numbers: Any) -> Any:
    (rate,) = numbers
    return -rate * np.sign(g), ()


def by_memory(g: Array, theta: Array, slots: Any, numbers: Any) -> Any:
    (rate,), (v,) = numbers, slots
    v = 0.5 * v + g
    return -rate * v, (v,)


def by_four(g: Array, theta: Array, slots: Any, numbers: Any) -> Any:
    (rate,), (a, b, c, d) = numbers, slots
    d = 0.5 * d + g
    c = c + d
    return -rate * (c + d), (a + 1, b - 1, c, d)


class Scalars(Own):
    """Numbers of one step at a time."""

    def numbers(self, t: Any, rate: Any) -> tuple[Any, ...]:
        return (rate / t if t < 5 else rate,)


Namesake = type("SGD", (Own,), {})


def test_a_rule_without_a_formula_falls_back() -> None:
    check(fallen_back(small(), optimizer=Stepping()), small().run("numpy", optimizer=Stepping()), 0.0)


@pytest.mark.parametrize("rule", [Own(0), Own(1), ClipNorm(Own(1), 0.1)], ids=str)
def test_a_rule_with_a_formula_is_compiled(rule: Any) -> None:
    agree(small(), optimizer=rule)


@pytest.mark.parametrize("rule", [Own(4), Namesake(0), Scalars(1)], ids=["four slots", "called SGD", "one step"])
def test_a_rule_unlike_the_librarys_is_run_right_on_either_engine(rule: Any) -> None:
    check(small().run("numba", optimizer=rule), small().run("numpy", optimizer=rule), 1e-12)


def test_a_clipped_rule_that_is_clipped() -> None:
    twice = ClipNorm(ClipNorm(gn.Adam(), 0.5), 0.1)
    check(small().run("numba", optimizer=twice), small().run("numpy", optimizer=twice), 1e-12)


# ---- layers of your own -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Halve:
    """A layer with all that a network asks of one."""

    function = gn.activations.get("identity")

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs

    def parameters(self, n_inputs: int) -> dict[str, Any]:
        return {}

    statistics = parameters

    def init(self, rng: np.random.Generator, n_inputs: int) -> dict[str, Array]:
        return {}

    def forward(self, p: Any, stats: Any, A: Array, mode: Any) -> Any:
        return A / 2, ()

    def backward(self, p: Any, A: Array, cache: Any, dZ: Array, grads: Any, *, wants_dA: bool = True) -> Array:
        return dZ / 2


class Doubled(Dense):
    def forward(self, p: Any, stats: Any, A: Array, mode: Any) -> Any:
        return 2 * (A @ p["W"]), ()


@pytest.mark.parametrize("layer", [Halve(), Doubled(5, "tanh")], ids=["its own", "a Dense that is another one"])
def test_a_layer_of_your_own_falls_back(layer: Any) -> None:
    own = case([Dense(5, "tanh"), layer, Dense(3)])
    check(fallen_back(own), own.run("numpy"), 0.0)


def test_the_table_of_layers_knows_no_more_than_it_did() -> None:
    assert set(LAYERS) == {"Dense", "Dropout", "BatchNorm", "LayerNorm"}, "tests/contracts/test_engines.py has a row"


def test_a_network_without_parameters() -> None:
    agree(case([Dropout(0.3)], d=4))
    agree(case([Dropout(0.0)], d=4), optimizer="adam")


# ---- how runs end -------------------------------------------------------------------------------------------------

LINE = Network(1, [Dense(1)])
SLOPE = np.linspace(-1, 1, 20)[:, None]


def steep(rate: float, **options: Any) -> Case:
    options = {"optimizer": SGD(rate), "epochs": 2000, "batch_size": 5, **options}
    return Case(Objective(LINE, "squared_error"), np.zeros(2), SLOPE, 3 * SLOPE + 1, options)


def ends_alike(one: Case, dtype: type, bound: float) -> gn.Run:
    theirs = one.run("numpy", dtype)
    ours = compiled(one, dtype)
    check(ours, theirs, bound)
    return ours


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("batch_size", [5, 20])
@pytest.mark.parametrize("rate", [6.0, 1e2, 1e10, 1e30])
def test_divergence_is_told_in_the_same_words(rate: float, batch_size: int, dtype: type) -> None:
    """The rate 6 multiplies errors by ten a step: of float32's digits, the last ones are gone."""
    bound = 1e-4 if dtype is np.float32 else 1e-12
    for options in ({}, {"epochs": 1}, {"average": 0.5}, {"optimizer": SGD(rate, momentum=0.5)}):
        run = ends_alike(steep(rate, batch_size=batch_size).but(**options), dtype, bound)
        assert run.status == "diverged" or options == {"epochs": 1}
        assert np.isfinite(run.theta).all()


@pytest.mark.parametrize("rate", [1e60, 1e200, 1e300])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_rate_beyond_the_dtype_is_divergence_and_no_warning(rate: float, dtype: type) -> None:
    for options in ({}, {"epochs": 1}, {"validation": ([[1.0]], [[1.0]])}):
        assert ends_alike(steep(rate, batch_size=20, **options), dtype, 1e-12).status == "diverged"


def test_the_last_step_is_looked_at() -> None:
    run = ends_alike(steep(1e10, batch_size=20, epochs=1), np.float64, 1e-12)
    assert run.reason.startswith("after the last step the loss has grown from")
    np.testing.assert_array_equal(run.theta, [0, 0])


BROKEN = (lambda z: np.where(np.abs(z) > 1e3, np.nan, z), lambda z, a: np.ones_like(z))
PLACES: dict[str, Objective] = {
    "first in layer 1": Objective(Network(1, [Dense(1, BROKEN), Dense(1)]), "squared_error"),
    "first in layer 2": Objective(Network(1, [Dense(1), Dense(1, BROKEN)]), "squared_error"),
    "first in the loss itself": Objective(
        LINE, (lambda a, y: np.where(np.abs(a) > 1e3, np.nan, a), lambda a, y: 0.0 * a)
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_nan_is_traced_to_its_layer_and_batch(place: str, dtype: type) -> None:
    x = np.ones((12, 1))
    x[8] = 1e4
    options = {"optimizer": SGD(1e-9), "epochs": 2, "batch_size": 3, "sampling": "sequential"}
    start = np.full(PLACES[place].net.n_parameters, 1.0)
    run = ends_alike(Case(PLACES[place], start, x, x, options), dtype, 0.0)
    assert run.reason.startswith(f"epoch 1: the loss is nan in batch 3, {place}.")
    np.testing.assert_array_equal(run.theta, start)


def test_divergence_after_good_epochs_gives_the_theta_before_the_last_one() -> None:
    growing = steep(3.2, batch_size=20)
    run = ends_alike(growing, np.float64, 1e-11)
    assert len(run.history) > 3
    assert run.rule_state is None


@pytest.mark.parametrize("dtype", BOUNDS)
def test_an_infinite_penalty_is_seen(dtype: type) -> None:
    large = replace(case([Dense(4)], l2=1e10), theta=case([Dense(4)]).theta * (1e18 if dtype is np.float32 else 1e153))
    assert ends_alike(large, dtype, 0.0).reason.startswith("epoch 1: the loss is inf in batch 1")


def test_theta_that_is_not_finite_after_the_last_step_is_seen() -> None:
    """The loss of the last batch is finite, its slope is not."""
    objective = Objective(LINE, (lambda a, y: 0.0 * a, lambda a, y: np.where(y > 0, np.inf, 0.0)))
    y = np.zeros((6, 1))
    y[5] = 1.0
    last = Case(objective, np.ones(2), np.ones((6, 1)), y, {"batch_size": 2, "sampling": "sequential", "epochs": 3})
    for rule in (SGD(0.1), SGD(0.1, momentum=0.5), gn.Adam()):
        run = ends_alike(last.but(optimizer=rule), np.float64, 0.0)
        assert run.reason.startswith("epoch 1: theta is not finite after the last batch")


def test_a_falling_loss_has_not_diverged() -> None:
    falling = Objective(Network(1, [Dense(1, bias=False)]), (lambda a, y: a, lambda a, y: np.ones_like(a)))
    one = Case(falling, np.array([-10.0]), np.ones((1, 1)), np.zeros((1, 1)), {"optimizer": SGD(1.0)})
    run = ends_alike(one, np.float64, 0.0)
    assert list(run.history["loss"]) == [-10.0, -11.0, -12.0]
    rising = replace(one, objective=Objective(falling.net, (lambda a, y: a, lambda a, y: -np.ones_like(a))))
    assert ends_alike(rising.but(optimizer=SGD(1e9)), np.float64, 0.0).status == "diverged"


@pytest.mark.parametrize("scale", [1e8, 1e15, 1e18])
def test_gradients_whose_squares_leave_float32_are_clipped(scale: float) -> None:
    one = case([Dense(4)])
    large = replace(one, X=one.X * scale).but(optimizer=ClipNorm(SGD(1e-3 / scale), 1.0), epochs=1, batch_size=41)
    ours, theirs = compiled(large, np.float32), large.run("numpy", np.float32)
    assert apart(ours.theta - large.theta.astype(np.float32), theirs.theta - large.theta.astype(np.float32)) < 1e-3
    assert apart(ours.theta, theirs.theta) < 1e-5
