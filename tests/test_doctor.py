"""The doctor finds each planted fault first, does not find it on the healed twin, and leaves healthy runs in peace."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import glassnet as gn
from glassnet import GlassnetError, MLPClassifier, MLPRegressor
from glassnet.gallery import depth
from glassnet.insight import doctor as module
from glassnet.insight.findings import Diagnosis, Finding, Trial, sparkline
from sick_runs import DIGITS, PLANTED, Patient, data, of_train, run_of

SOURCE = Path(module.__file__).parent
DOCS = Path(__file__).parents[1] / "docs" / "doctor.md"


@cache
def examined(kind: str, healed: bool) -> Diagnosis:
    patient = PLANTED[kind][healed]()
    return gn.diagnose(patient.model, patient.X, patient.y, **patient.options)


def codes(diagnosis: Diagnosis, *, notes: bool = True) -> list[str]:
    return [one.code for one in diagnosis.findings if notes or one.severity != "note"]


# ---- found where it is, absent where it is not ---------------------------------------------------------------------


def check(kind: str, sick: Diagnosis, well: Diagnosis) -> None:
    """Demand that the fault comes first in the one, with evidence and remedy, and does not occur in the other."""
    code = kind.split(",")[0]
    first = sick.findings[0]
    assert first.code == code
    assert first.severity != "note"
    assert first.evidence
    assert all(np.isfinite(value) for value in first.evidence.values())
    assert first.remedy.python
    assert first.where
    assert len(re.findall(r"[.:]( |$)", first.explanation)) >= 1
    assert not sick.healthy
    assert sick.summary.endswith(f"the first cause is {code}.")  # and nothing that follows from it
    assert code not in codes(well)
    assert well.healthy


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_found_first_and_only_where_it_is(kind: str) -> None:
    check(kind, examined(kind, False), examined(kind, True))


@pytest.mark.parametrize("kind", PLANTED)
def test_the_check_fails_where_the_fault_is_missed_or_imagined(kind: str) -> None:
    sick, well = examined(kind, False), examined(kind, True)
    with pytest.raises((AssertionError, IndexError)):
        check(kind, well, well)
    with pytest.raises(AssertionError):
        check(kind, sick, sick)


def said_in(tree: ast.AST) -> set[str]:
    """Return the codes in calls of `finding(case, code, ...)` and `Finding(code, ...)`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("finding", "Finding"):
            place = node.args[1 if node.func.id == "finding" else 0]
            found |= {place.value} if isinstance(place, ast.Constant) else set()
    return {str(code) for code in found}


CODES = {code for path in SOURCE.glob("*.py") for code in said_in(ast.parse(path.read_text(encoding="utf-8")))}


def test_every_code_is_planted() -> None:
    assert said_in(ast.parse('yield finding(\n case, "new", "y")\nFinding("other", "y")')) == {"new", "other"}
    assert {kind.split(",")[0] for kind in PLANTED} == CODES


# ---- healthy runs --------------------------------------------------------------------------------------------------

HEALTHY: Mapping[str, Callable[[], Patient]] = {
    "digits, two layers": lambda: run_of("digits", hidden_layer_sizes=(64, 32)),
    "digits, sigmoids": lambda: run_of("digits", activation="logistic", max_iter=200, fit=True),
    "wine, tanh, sgd": lambda: run_of("wine", activation="tanh", solver="sgd", learning_rate_init=0.1, fit=True),
    "iris, lbfgs": lambda: run_of("iris", solver="lbfgs", alpha=0.1, max_iter=200, fit=True),
    "breast cancer, defaults": lambda: Patient(MLPClassifier(random_state=0), *data("breast_cancer")),
    "diabetes": lambda: run_of("diabetes", alpha=5.0, max_iter=100, fit=True),
    "waves": lambda: run_of("waves", max_iter=300, fit=True),
    "several labels a row": lambda: run_of(
        "digits", y=np.column_stack([data("digits")[1] > 4, data("digits")[1] % 2]).astype(int)
    ),
    "train, norms, dropout": lambda: of_train("digits", gn.Dense(40), gn.BatchNorm(), gn.Dropout(0.2), *DIGITS),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_gets_no_alarm(name: str) -> None:
    patient = HEALTHY[name]()
    diagnosis = gn.diagnose(patient.model, patient.X, patient.y)
    assert codes(diagnosis, notes=False) == []
    assert diagnosis.healthy
    assert "healthy" in str(diagnosis)


# ---- however it comes ----------------------------------------------------------------------------------------------


def test_the_remedy_can_be_set_wherever_the_network_stands() -> None:
    X, y = data("iris")
    sick = MLPClassifier((20,), learning_rate_init=30.0, random_state=0)
    for model in (sick, make_pipeline(StandardScaler(), sick), make_pipeline(make_pipeline(StandardScaler(), sick))):
        first = gn.diagnose(model, X, y).findings[0]
        assert first.code == "rate_too_high"
        healed = clone(model).set_params(**first.remedy.params)
        assert gn.diagnose(healed, X, y).healthy
        assert next(iter(first.remedy.params)) in first.remedy.python
    X, y = data("diabetes")
    inner = MLPRegressor(hidden_layer_sizes=(20,), learning_rate_init=30.0, random_state=0)
    model = TransformedTargetRegressor(inner, transformer=StandardScaler())
    first = gn.diagnose(model, X, 50 + 20 * y).findings[0]
    assert (first.code, set(first.remedy.params)) == ("rate_too_high", {"regressor__learning_rate_init"})


def test_a_pipeline_that_scales_is_not_told_to_scale() -> None:
    X, y = data("iris")
    model = run_of("iris").model
    assert codes(gn.diagnose(model, 1e4 * X, y)) == ["inputs_unscaled"]
    assert codes(gn.diagnose(make_pipeline(StandardScaler(), model), 1e4 * X, y)) == []


def test_their_network_is_examined_by_its_settings() -> None:
    diagnosis = gn.diagnose(TheirClassifier((20,), learning_rate_init=30.0, random_state=0), *data("iris"))
    assert codes(diagnosis) == ["rate_too_high"]


def test_a_run_is_examined_with_its_history() -> None:
    patient = of_train("digits", *DIGITS)
    given = {**patient.model, "optimizer": gn.Adam(1e-6), "epochs": 6}
    run = gn.train(X=patient.X, Y=patient.y, rng=0, **given)
    arguments = {"objective": given["objective"], "theta": given["theta"]}
    first = gn.diagnose(run, patient.X, patient.y, arguments=arguments).findings[0]
    assert first.code == "rate_too_low"  # rule, rate and batch size are read from the run
    assert first.evidence["rate"] == pytest.approx(1e-6)
    assert "gn.Adam(" in first.remedy.python


def test_nothing_that_is_given_is_changed() -> None:
    patient = run_of("iris", learning_rate_init=30.0, fit=True)
    X, y, theta, params = patient.X.copy(), patient.y.copy(), patient.model.theta_.copy(), patient.model.get_params()
    before = str(gn.diagnose(patient.model, X, y, try_remedies=True))
    np.testing.assert_array_equal(X, patient.X)
    np.testing.assert_array_equal(y, patient.y)
    np.testing.assert_array_equal(theta, patient.model.theta_)
    assert params == patient.model.get_params()
    assert str(gn.diagnose(patient.model, X, y, try_remedies=True)) == before  # and the same is said again


# ---- what is given wrongly -----------------------------------------------------------------------------------------

FITTED = run_of("iris", max_iter=5, fit=True).model
NUMBERS = run_of("diabetes", max_iter=5, fit=True).model
BAD: list[tuple[Any, Any, Any, list[str]]] = [
    (FITTED, None, np.zeros(3), ["X must be (m, d)", "received None", "diagnose(model, X, y)"]),
    (FITTED, np.zeros((3, 4)), None, ["y must be (m,) or (m, k)", "received None"]),
    (FITTED, 5, np.zeros(3), ["X must be (m, d)", "received int"]),
    (FITTED, np.zeros((3, 4)), np.zeros(4), ["equally many rows, received 3 and 4"]),
    (FITTED, np.zeros((0, 4)), np.zeros(0), ["X must be (m, d) with at least one row"]),
    (FITTED, np.zeros(3), np.zeros(3), ["X must be (m, d), received (3,)", "X[:, None]"]),
    (FITTED, np.zeros((3, 7)), np.zeros(3), ["X must be (m, 4), as the model was fitted to", "(3, 7)"]),
    (FITTED, np.array([["a"] * 4] * 3), np.zeros(3), ["X must be numbers (m, d)", "'a'", "pipeline"]),
    (
        StandardScaler(),
        np.zeros((3, 4)),
        np.zeros(3),
        ["estimator_or_run must be an estimator of glassnet", "StandardScaler"],
    ),
    ("model", np.zeros((3, 4)), np.zeros(3), ["estimator_or_run must be an estimator", "received str"]),
    ({"theta": np.zeros(3)}, np.zeros((3, 4)), np.zeros(3), ['"objective" of the arguments', "diagnose(run, X, Y"]),
    (of_train("digits", *DIGITS).model, np.zeros((3, 4)), np.zeros((3, 10)), ["X must be (m, 64) for the network"]),
    (of_train("digits", *DIGITS).model, np.zeros((3, 64)), np.zeros((3, 4)), ["y must be (m, 10) for the network"]),
    (
        MLPClassifier((5,)),
        np.zeros((30, 4)),
        np.linspace(0, 1, 30),
        ["y must be class labels", "0.0345", "MLPRegressor"],
    ),
    (
        FITTED,
        data("iris")[0],
        data("iris")[1] + 1,
        ["one of the 3 classes that the model was fitted to (0, 1, 2)", "3"],
    ),
    (NUMBERS, np.zeros((3, 10)), np.zeros((3, 2)), ["y must be (m, 1), as the model was fitted to", "(3, 2)"]),
]


@pytest.mark.parametrize(("model", "X", "y", "parts"), BAD)
def test_what_is_given_wrongly_is_named(model: Any, X: Any, y: Any, parts: list[str]) -> None:
    with pytest.raises((GlassnetError, ValueError)) as raised:
        gn.diagnose(model, X, y)
    for part in parts:
        assert part in str(raised.value)


def test_an_estimator_need_not_be_fitted() -> None:
    model = run_of("iris").model
    assert gn.diagnose(model, *data("iris")).healthy
    assert not hasattr(model, "theta_")


# ---- remedies, tried -----------------------------------------------------------------------------------------------

TRIED = [
    "rate_too_high", "rate_too_low", "vanishing", "symmetric_weights", "dead_units", "penalty_dominates", "exploding",
    "inputs_unscaled, one", "targets_unscaled, waves", "wrong_pairing, range", "dropout_too_high",
]  # fmt: skip


@pytest.mark.parametrize("kind", TRIED)
def test_a_tried_remedy_shows_both_curves_and_helps(kind: str) -> None:
    patient = PLANTED[kind][0]()
    diagnosis = gn.diagnose(patient.model, patient.X, patient.y, try_remedies=True)
    trial = diagnosis.trials[0]
    assert trial.code == kind.split(",")[0]
    assert trial.helped
    assert len(trial.before) >= 2
    assert len(trial.after) >= 2
    text = str(diagnosis)
    assert f"The remedy of {trial.code}, tried on a copy:" in text
    assert text.count("as it is  ") == text.count("remedied  ") == len(diagnosis.trials)
    assert diagnosis.treated is not None


def test_curves_on_different_scales_are_not_compared() -> None:
    trial = Trial("scale_targets", (9000.0, 4000.0), (0.5, 0.2), 0.8, 0.8, "R2", comparable=False)
    assert not trial.helped
    assert "as it is  █▄  loss 9,000 to 4,000" in str(trial)
    assert "remedied  █▄  loss 0.5 to 0.2" in str(trial)
    assert "different scales" in str(trial)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 5])
def test_the_networks_that_the_gallery_shows_stuck_are_healed(layers: int) -> None:
    """With all remedies, above 95% of the test images: pytest -m slow tests/test_doctor.py (and benchmarks.doctor)."""
    (X, Y), (X_test, Y_test) = depth.digits(0, mended=False)
    objective = depth.objective_of(layers, mended=False)
    given = {"objective": objective, "theta": objective.net.init(rng=0), "optimizer": gn.SGD(32 * 5e-3)}
    diagnosis = gn.diagnose({**given, "epochs": 40, "drop_last": True}, X, Y, try_remedies=True)
    assert diagnosis.trials[-1].score_before < 0.5
    case = diagnosis.treated
    assert case is not None
    run = case.run(case.epochs)
    assert case.score(run.theta, run.state, (case.seen(X_test), Y_test)) > 0.95


def test_advice_that_no_copy_can_follow_is_not_tried() -> None:
    patient = PLANTED["no_signal"][0]()
    assert gn.diagnose(patient.model, patient.X, patient.y, try_remedies=True).trials == ()


def test_a_remedy_that_does_not_help_says_so() -> None:
    trial = Trial("rate", (1.0, 0.5), (1.0, 0.9), 0.9, 0.5, "accuracy", "rate_too_low")
    assert not trial.helped
    assert not Trial("rate", (1.0, 0.5), (1.0, float("inf")), 0.9, float("nan"), "accuracy").helped
    assert Trial("rate", (1.0, float("inf")), (1.0, 0.9), float("nan"), 0.5, "accuracy").helped


# ---- how it reads --------------------------------------------------------------------------------------------------


def test_the_text_has_cause_evidence_and_remedy() -> None:
    diagnosis = examined("vanishing, sigmoids", False)
    text = str(diagnosis)
    assert text.startswith("MLPClassifier: the first cause is vanishing.\n")
    assert "Loss in 5 epochs on a copy: " in text
    assert re.search(r"spread of layers 1 to 5 +(\S+, ){4}\S+\n", text)
    assert "    model.set_params(activation='relu')" in text
    assert text.index("WARNING vanishing") < text.index("NOTE inputs_constant")
    assert max(map(len, text.splitlines())) <= 120


def test_layers_that_do_not_follow_each_other_are_named_one_by_one() -> None:
    evidence = {"rate": 0.1, "dead share of layer 2": 0.5, "dead share of layer 5": 1.0, "z of layer 3": 2.0}
    finding = Finding("dead_units", "layers", "error", evidence, "", gn.insight.findings.Remedy({}, ""))
    assert finding.table == [("rate", "0.1"), ("dead share of layers 2, 5", "0.5, 1"), ("z of layer 3", "2")]


@pytest.mark.parametrize("kind", ["vanishing, sigmoids", "rate_too_high, diverges", "inputs_missing"])
def test_the_page_of_a_notebook_is_whole_and_says_the_same(kind: str) -> None:
    diagnosis = examined(kind, False)
    tree = ElementTree.fromstring(diagnosis._repr_html_())
    said = "".join(tree.itertext())
    assert diagnosis.summary in said
    for finding in diagnosis.findings:
        assert finding.code in said
        assert finding.explanation in said
        assert finding.remedy.python in said
        for name, value in finding.table:
            assert f"{name}{value}" in said
    assert not tree.findall(".//script")


def test_the_page_draws_both_curves_from_nothing_to_the_highest() -> None:
    losses = (4.0, 2.0, 1.0), (4.0, 1.0, float("inf"))
    trial = Trial("rate", *losses, 0.5, 0.9, "accuracy", "rate_too_low")
    page = ElementTree.fromstring(Diagnosis("model", (), trials=(trial,))._repr_html_())
    points = [line.attrib["points"].split() for line in page.iter("polyline")]
    assert [len(one) for one in points] == [3, 2]  # what is not finite is not drawn
    heights = [[float(point.split(",")[1]) for point in one] for one in points]
    foot = 2 * heights[0][1]  # half the highest loss is half the way down
    assert heights == [[0.0, foot / 2, 0.75 * foot], [0.0, 0.75 * foot]]
    said = "".join(page.itertext())
    assert "The remedy of rate_too_low, tried on a copy:" in said
    assert "as it isloss 4 to 1accuracy on held-out rows 0.5" in said
    assert "remediedloss 4 to infaccuracy on held-out rows 0.9" in said


def test_names_from_the_data_are_no_markup() -> None:
    import pandas as pd

    X = pd.DataFrame(data("iris")[0], columns=["<b>", "a&b", "c", "d"])
    X["<script>"] = 2.0 * data("iris")[1] - 7
    diagnosis = gn.diagnose(run_of("iris").model, X, data("iris")[1])
    assert diagnosis.findings[0].where == "column <script>"
    tree = ElementTree.fromstring(diagnosis._repr_html_())
    assert not tree.findall(".//script")
    assert "column <script>" in "".join(tree.itertext())


def test_curves_are_drawn_from_nothing_to_the_highest() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([float("nan"), 1.0]) == "x█"
    assert len(sparkline(np.arange(1000.0))) == 40


def test_every_code_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(CODES)
