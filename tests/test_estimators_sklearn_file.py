"""scikit-learn's own tests of its MLP, as installed with it, run against our classes.

Their file is read where it is installed, one import in it is replaced, and its test functions become tests of this
module, with their parameters. `LISTED` names those that cannot pass, and how each fails: where one of them passes, or
fails otherwise, the test of that name here fails.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sklearn

import glassnet

WRITTEN_FOR = "1.9"
"""The version of scikit-learn whose 43 test functions are counted here; the file of another one is run all the same."""

LISTED: dict[str, tuple[type[Exception], str, str]] = {
    "test_gradient": (
        AttributeError,
        "has no attribute '_loss_grad_lbfgs'",
        "calls a private method; our gradients are compared with finite differences in test_estimators_gradients.py",
    ),
    "test_early_stopping_stratified": (
        AssertionError,
        r"too few members are: \[1\]",
        "wants the class to be named 'True', scikit-learn's own coding of it; here it is named as in y: 1",
    ),
}
"""Name of a test function -> how it fails, words of the failure, and why it is not to pass."""


def theirs(classifier: type, regressor: type) -> ModuleType:
    """Return scikit-learn's test module with these two classes in the place of its own."""
    found = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    kept = [node for node in tree.body if not _imports_the_classes(node)]
    assert len(kept) == len(tree.body) - 1, "scikit-learn's test file imports its two classes in another way"
    tree.body = kept
    module = ModuleType("sklearn_test_mlp")
    vars(module).update(MLPClassifier=classifier, MLPRegressor=regressor, __file__=found.origin)
    exec(compile(tree, found.origin, "exec"), vars(module))
    return module


def _imports_the_classes(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "sklearn.neural_network"


def functions(module: ModuleType) -> dict[str, Callable[..., None]]:
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


def fails_as_listed(name: str, test: Callable[..., None]) -> Callable[..., None]:
    kind, words, _ = LISTED[name]

    def listed() -> None:
        with pytest.raises(kind, match=words):
            test()

    return listed


TESTS = functions(theirs(glassnet.MLPClassifier, glassnet.MLPRegressor))
globals().update({name: fails_as_listed(name, test) if name in LISTED else test for name, test in TESTS.items()})


@pytest.fixture
def global_random_seed() -> int:
    """What scikit-learn's own configuration of pytest gives by default."""
    return 42


def test_the_list_is_short_and_up_to_date() -> None:
    assert len(LISTED) <= 4
    if sklearn.__version__.startswith(f"{WRITTEN_FOR}."):
        assert len(TESTS) == 43
        assert LISTED.keys() <= TESTS.keys()
    assert TESTS["test_fit"].__globals__["MLPClassifier"] is glassnet.MLPClassifier


def test_their_tests_see_a_fault() -> None:
    class InOrder(glassnet.MLPRegressor):
        def fit(self, *data: Any, **options: Any) -> Any:
            return self.set_params(shuffle=False) and super().fit(*data, **options)

    with pytest.raises(AssertionError):
        functions(theirs(glassnet.MLPClassifier, InOrder))["test_shuffle"]()
