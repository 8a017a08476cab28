"""estimators/showing.py: a fitted network in text and in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import estimator_html_repr

from glassnet import MLPClassifier, MLPRegressor
from glassnet.estimators.showing import facts

X, y = load_iris(return_X_y=True)
X = scale(X)
MODEL = MLPClassifier((6, 5), ["tanh", "relu"], dropout=[0.1, 0.0], batch_norm=True, random_state=0, max_iter=2000)
MODEL.set_params(learning_rate_init=0.02).fit(X, y)


class Reader(HTMLParser):
    """Checks that tags are closed in the order in which they were opened, and keeps what is said."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br", "input", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_summary_is_a_table() -> None:
    lines = repr(MODEL.summary()).splitlines()
    count = sum(array.size for array in MODEL.coefs_ + MODEL.intercepts_) + 2 * 6 + 2 * 5  # gamma and beta
    assert lines[0] == f"MLPClassifier: 4 inputs, 3 outputs, {count} parameters, {lines[0].split(', ')[-1]}"
    assert lines[1].split()[:4] == ["layer", "kind", "units", "activation"]
    assert [line.split()[1] for line in lines[2:-1]] == ["Dense", "BatchNorm", "Dropout", "Dense", "BatchNorm", "Dense"]
    assert lines[-1].startswith(f"converged in epoch {MODEL.n_iter_}, loss {MODEL.loss_:.6g}: loss did not improve")
    assert str(MODEL.summary()) == repr(MODEL.summary())
    with pytest.raises(NotFittedError):
        MLPClassifier().summary()


def test_a_notebook_shows_the_network() -> None:
    page = MODEL._repr_mimebundle_()["text/html"]
    reader = Reader(page)
    assert page.count('<img style="width:') == 2  # the network and the losses
    assert {"table", "details", "dl"} <= set(reader.tags)
    text = " ".join(reader.words)
    assert "MLPClassifier: 4 inputs, 3 outputs" in text
    assert f"status converged epochs {MODEL.n_iter_} loss {MODEL.loss_:.4g}" in text
    assert MODEL.stop_reason_ in text
    assert estimator_html_repr(MODEL)[:40] in page  # scikit-learn's own view, to be opened
    assert "<script src" not in page
    assert MODEL._repr_html_() != ""


def test_the_best_of_the_held_out_rows_is_among_the_facts() -> None:
    model = MLPClassifier((5,), solver="lbfgs", early_stopping=True, tol=1e-3, random_state=0).fit(X, y)
    assert dict(facts(model)) == {
        "status": model.status_, "epochs": model.n_iter_, "loss": model.loss_,
        "best validation loss": min(model.history_["validation_loss"]),
        "best validation accuracy": model.best_validation_score_,
    }  # fmt: skip


def test_without_a_fit_it_is_scikit_learns_view() -> None:
    page = MLPRegressor()._repr_mimebundle_()["text/html"]
    assert "<svg" not in page.split("<style>")[0]
    assert "sk-top-container" in page
    Reader(make_pipeline(StandardScaler(), MODEL)._repr_mimebundle_()["text/html"])
    with sklearn.config_context(display="text"):
        assert "text/html" not in MODEL._repr_mimebundle_()


def test_an_unclosed_tag_is_seen() -> None:
    with pytest.raises(AssertionError):
        Reader("<div><p></div>")
