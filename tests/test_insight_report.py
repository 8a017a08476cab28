"""The report: one page that needs nothing else, holds the numbers it was given, and trusts no text."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from glassnet import Adam, Dense, Dropout, GlassnetError, Network, Objective, train
from glassnet.history import History, Run
from glassnet.insight.report import ClassRow, Report, render
from glassnet.insight.summary import layer_statistics

EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """What a browser would read: opened tags with their attributes, the text, tags that do not close."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def classification(name: str = "b") -> Report:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(2, size=60)
    objective = Objective(Network(4, [Dense(6, "relu"), Dense(2, "softmax")]), "cross_entropy")
    run = train(
        objective, objective.net.init(0), X, np.eye(2)[y], optimizer=Adam(), epochs=3, validation=(X, np.eye(2)[y]),
        metrics={"accuracy": lambda output, target: float((output.argmax(1) == target.argmax(1)).mean())},
    )  # fmt: skip
    return Report(
        title="Coins", headline="75.0% of 12 coins told apart.", dataset="coins.csv", net=objective.net,
        theta=run.theta, run=run, facts={"rows": 1797}, metrics={"accuracy": 0.75},
        config={"learning_rate": 0.00012345678, "hidden": [6], "seed": 123456}, command="glassnet fit coins.csv",
        versions={"glassnet": "0.1.0"}, notes=("Two columns were empty.",), class_names=("a", name),
        confusion=np.array([[5, 1], [2, 4]]), image_shape=(2, 2),
        class_rows=(ClassRow("a", 5 / 7, 5 / 6, 10 / 13, 6), ClassRow(name, 0.8, 4 / 6, 8 / 11, 6)),
        statistics=layer_statistics(objective, run.theta, X, np.eye(2)[y]),
    )  # fmt: skip


def regression() -> Report:
    rng = np.random.default_rng(0)
    net = Network(4, [Dense(5, "tanh"), Dropout(0.1), Dense(2)])
    true = rng.normal(size=(30, 2))
    run = Run(net.init(0), np.empty(0), History(({"epoch": 1, "loss": 0.5},)), "stopped", "", 0.1)
    return Report(
        title="Houses", headline="Within 5%.", dataset="houses", net=net, theta=run.theta, run=run,
        y_true=true, y_pred=true + 0.1, target_names=("price", "rent"),
    )  # fmt: skip


def pictures(page: Page) -> list[str]:
    return [
        base64.b64decode((image["src"] or "").removeprefix("data:image/svg+xml;base64,")).decode()
        for image in page.all("img")
    ]


@pytest.mark.parametrize("report", [classification(), regression()], ids=["classification", "regression"])
def test_page_needs_nothing_else(report: Report) -> None:
    html = render(report)
    page = Page(html)
    assert page.open == []
    assert page.all("html") == [{"lang": "en"}]
    assert not page.all("script")
    assert not page.all("link")
    assert not re.search(r"https?://|@import|url\(", html)
    for image, svg in zip(page.all("img"), pictures(page), strict=True):
        assert len(image["alt"] or "") > 20
        assert svg.startswith("<svg")
        loads = [link for link in re.findall(r'(?:href|src)="([^"]*)"', svg) if not link.startswith(("#", "data:"))]
        assert loads == []
    assert len(html.encode()) < 1_500_000


def test_classification_page_holds_what_it_was_given() -> None:
    page = Page(render(classification()))
    for part in (
        "Coins", "75.0% of 12 coins told apart.", "coins.csv", "1,797", "0.75", "Two columns were empty.", "0.714",
        "glassnet fit coins.csv", "glassnet 0.1.0", "0.00012345678", "123456", "completed", "W 4×6, b 6", "3 epochs",
    ):  # fmt: skip
        assert part in page.text, part
    assert len(page.all("img")) == 6  # confusions, losses, scores, diagram, weights, histograms; no sizes of 2 layers
    assert len(page.all("table")) == 3
    assert {attrs.get("scope") for attrs in page.all("th")} == {"row", "col"}


def test_on_a_phone_each_number_of_a_wide_table_knows_its_head() -> None:
    page = render(classification())
    assert [attributes.get("class") for attributes in Page(page).all("table")] == [None, "many", "many"]
    assert '<td data-head="parameters">30</td>' in page
    assert '<th data-head="layer" scope="row">1</th>' in page
    assert "content:attr(data-head)" in page


def test_regression_page_holds_a_picture_and_a_row_for_each_target() -> None:
    page = Page(render(regression()))
    for part in ("price", "rent", "R²", "RMSE", "MAE", "0.1", "stopped", "Ended before the last epoch."):
        assert part in page.text, part
    assert [image["alt"] for image in page.all("img")][:2] == [
        alt for alt in (image["alt"] for image in page.all("img")) if alt and alt.startswith("Predicted against true")
    ]
    assert "Which classes" not in page.text
    assert "Inside the layers" not in page.text


def test_text_of_strangers_stays_text() -> None:
    report = replace(
        classification(EVIL), title=EVIL, headline=EVIL, dataset=EVIL, facts={EVIL: EVIL}, metrics={EVIL: 1.0},
        config={EVIL: EVIL}, command=EVIL, versions={EVIL: EVIL}, notes=(EVIL,),
    )  # fmt: skip
    report = replace(report, run=replace(report.run, reason=EVIL))
    html = render(report)
    assert "<script" not in html
    assert Page(html).text.count(EVIL) == 16  # of these twice: title, data set, facts, config, versions
    assert all("<script" not in svg for svg in pictures(Page(html)))
    evil_target = replace(regression(), target_names=('"><img src=x onerror=alert(1)>', "猫 $"))
    page = Page(render(evil_target))
    assert all("onerror" not in image for image in page.all("img"))
    assert "猫 $" in page.text


def test_run_that_diverged_at_once_still_has_a_page() -> None:
    report = regression()
    run = Run(report.theta, np.empty(0), History(), "diverged", "epoch 1: the loss is nan", 0.0)
    page = Page(render(replace(report, run=run, y_true=None, y_pred=None)))
    assert "diverged" in page.text
    assert "epoch 1: the loss is nan" in page.text
    assert len(page.all("img")) == 1  # the diagram


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": np.zeros(3)}, r"theta must be \(44,\)"),
        ({"confusion": np.eye(3)}, r"confusion must be \(2, 2\)"),
        ({"image_shape": (3, 3)}, "image_shape must be"),
        ({"y_true": np.zeros(3)}, "given together"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        replace(classification(), **change)


def test_the_same_report_gives_the_same_page() -> None:
    report = classification()
    assert render(report) == render(report)
