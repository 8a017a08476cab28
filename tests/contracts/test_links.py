"""Every link of the README and the docs to a file of ours finds it, and no page stands outside the list of pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


def linked(text: str) -> list[str]:
    """Return the targets of a page's links and pictures that are files of ours, code left out."""
    text = re.sub(r"```.*?```|^ {4}.*$", "", text, flags=re.S | re.M)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in targets if "://" not in target and not target.startswith("#")]


def broken(page: Path, text: str) -> list[str]:
    return [target for target in linked(text) if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_finds_its_file(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = set(linked((ROOT / "docs/README.md").read_text(encoding="utf-8")))
    assert {page.name for page in ROOT.glob("docs/*.md")} - listed - {"README.md"} == set()


def test_a_broken_link_is_seen() -> None:
    text = "[a](docs/plots.md) [b](docs/nowhere.md#part) ![c](docs/none.png) [d](https://example.org) [e](#here)"
    assert broken(ROOT / "README.md", text) == ["docs/nowhere.md", "docs/none.png"]
