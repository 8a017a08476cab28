"""registry.py: a name with options becomes one record, and a record its name with options."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from glassnet.errors import GlassnetError
from glassnet.registry import make, non_default, reduced, remembered, spec_of


@dataclass(frozen=True)
class Wave:
    name: str
    f: Callable[[float], float]
    options: tuple[tuple[str, float], ...] = ()


@remembered
def stretched(width: float = 1.0, *, height: float = 1.0) -> Wave:
    """A record that holds a function: two of them are equal only if they are the same."""
    options = (("width", width),) * (width != 1.0) + (("height", height),) * (height != 1.0)
    return Wave("stretched", lambda x: height * x / width, options)


TABLE = {"stretched": stretched, "flat": lambda: FLAT}
FLAT = Wave("flat", lambda x: 0.0)


def test_each_record_is_made_once() -> None:
    assert stretched(2.0) is stretched(width=2) is stretched(2.0, height=1.0)
    assert stretched() is not stretched(2.0)
    assert stretched.__name__ == "stretched"
    assert "holds a function" in stretched.__doc__


@pytest.mark.parametrize("spec", ["flat", "stretched", {"name": "stretched", "width": 3.0, "height": 0.5}])
def test_spec_round_trip_through_json(spec: object) -> None:
    record = make("wave", TABLE, spec)
    assert spec_of("wave", TABLE, record) == spec
    assert make("wave", TABLE, json.loads(json.dumps(spec))) is record


def test_default_options_are_left_out_of_the_spec() -> None:
    assert spec_of("wave", TABLE, stretched(1.0, height=2.0)) == {"name": "stretched", "height": 2.0}


def test_options_that_differ_from_their_defaults_are_floats() -> None:
    options = non_default(width=(np.float32(2.0), 1.0), height=(np.float64(1.0), 1.0), depth=(3, 1.0))
    assert options == (("width", 2.0), ("depth", 3.0))
    assert {type(value) for _, value in options} == {float}


def test_a_record_is_copied_by_its_name_and_one_of_your_own_field_by_field() -> None:
    def get(spec: object) -> Wave:
        return make("wave", TABLE, spec)

    def copied(record: Wave) -> Wave:
        rebuild, arguments = reduced(record, get, TABLE)
        return rebuild(*arguments)

    assert copied(stretched(2.0)) is stretched(2.0)
    for own in (Wave("flat", abs), Wave("mine", abs), Wave("stretched", abs, (("width", 2.0),))):
        assert copied(own) == own


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("streched", r"unknown wave 'streched': did you mean 'stretched'\? Known: stretched, flat\."),
        ({"name": "flt"}, r"unknown wave 'flt': did you mean 'flat'\?"),
        ({}, r'wave as a dictionary must be one with a "name", received \{\}\. Known: stretched, flat'),
        ({"name": "flat", "width": 1.0}, r"wave 'flat' does not take \{'width': 1.0\}"),
        ({"name": "stretched", "with": 1.0}, r"wave 'stretched' does not take \{'with': 1.0\}"),
        ({"name": "stretched", "width": [1.0]}, r"wave 'stretched' does not take \{'width': \[1.0\]\}"),
    ],
)
def test_refusals(spec: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make("wave", TABLE, spec)


@pytest.mark.parametrize("spec", [None, 5, 1.0])
def test_what_is_no_spec_at_all_is_refused(spec: object) -> None:
    with pytest.raises(GlassnetError, match="wave"):
        make("wave", TABLE, spec)


@pytest.mark.parametrize("own", [Wave("mine", lambda x: x), Wave("flat", lambda x: 1.0)])
def test_a_record_of_your_own_has_no_spec_even_under_a_known_name(own: Wave) -> None:
    with pytest.raises(GlassnetError, match=f"wave '{own.name}' is your own and cannot be written to a file"):
        spec_of("wave", TABLE, own)
