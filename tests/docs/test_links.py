"""Links between the pages lead to a file that is there, and to a heading that is on it."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, prose

LINK = re.compile(r"\]\(([^)\s]+)\)")


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: its words in lower case, joined by hyphens."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    """A heading that comes again has a number behind it."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(str(page.relative_to(ROOT))), re.MULTILINE):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target:
            assert target.startswith("https://"), target
            continue
        path, _, anchor = target.partition("#")
        reached = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert reached.exists(), target
        assert reached.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(reached), target


def test_headings_become_anchors_as_on_github() -> None:
    assert slug("Does it work? `lotus doctor`, step 2") == "does-it-work-lotus-doctor-step-2"
    assert "keys-1" not in anchors(ROOT / "docs/keys.md")
    assert {"scopes", "recipients"} <= anchors(ROOT / "docs/keys.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_says_in_words_what_it_shows(page: str) -> None:
    for words, path in re.findall(r"!\[(.*?)\]\((.*?)\)", prose(page)):
        assert len(words.split()) > 5, path
