"""Every public name says what it is: modules, functions, classes, and their public methods and properties."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import ModuleType

import pytest

import glassnet

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(glassnet.__path__, "glassnet.", onerror=lambda name: None)
    if not module.name.endswith("__main__")
)


def public_names(module: ModuleType) -> list[str]:
    return list(getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]))


def says_nothing(thing: object) -> bool:
    """True for no docstring, and for the one that `dataclass` makes up: Name(field: type, ...)."""
    doc = inspect.getdoc(thing) if not inspect.isclass(thing) else thing.__doc__
    return not doc or (inspect.isclass(thing) and doc.startswith(f"{thing.__name__}("))


def members(kind: type) -> Iterator[tuple[str, object]]:
    for name, member in vars(kind).items():
        if isinstance(member, cached_property):
            member = member.func
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        named = inspect.isfunction(member) and member.__name__ != "<lambda>"  # a lambda is the default of a field
        if not name.startswith("_") and (named or isinstance(member, property)):
            yield name, member


def silent(module: ModuleType) -> list[str]:
    """Return the public names of a module that have no docstring; values such as tables have none of their own."""
    found = [] if module.__doc__ else ["the module itself"]
    for name in public_names(module):
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)) or not thing.__module__.startswith("glassnet"):
            continue
        if says_nothing(thing):
            found.append(name)
        if inspect.isclass(thing):
            found += [f"{name}.{member}" for member, f in members(thing) if says_nothing(f)]
    return found


def load(name: str) -> ModuleType:
    """Import a module of glassnet; skip it where an optional library (Numba, onnx) is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("glassnet"):
            raise
        pytest.skip(f"needs {error.name}")


@pytest.mark.parametrize("name", ["glassnet", *MODULES])
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert silent(load(name)) == []


@pytest.mark.parametrize("name", MODULES)
def test_what_is_announced_exists(name: str) -> None:
    module = load(name)
    assert [entry for entry in public_names(module) if not hasattr(module, entry)] == []
    assert len(set(public_names(module))) == len(public_names(module))


def test_silence_is_heard() -> None:
    @dataclass
    class Silent:
        number: int = 0

        def method(self) -> None: ...

        @property
        def shown(self) -> int:
            """Return the number."""
            return self.number

        @cached_property
        def kept(self) -> int:
            return self.number

        @classmethod
        def made(cls) -> None: ...

    def function() -> None: ...

    module = ModuleType("glassnet.planted")
    for thing in (Silent, function):
        thing.__module__ = "glassnet.planted"
        setattr(module, thing.__name__, thing)
    assert silent(module) == [
        "the module itself", "Silent", "Silent.method", "Silent.kept", "Silent.made", "function",
    ]  # fmt: skip
