"""What the browser's files say twice, or say after the service, is the same in both places."""

import re
from pathlib import Path

from app.erasure.refusing import REFUSALS
from app.erasure.states import OPEN_REQUEST

WEB = Path(__file__).parents[2] / "app" / "dashboard" / "web"


def listed(name: str) -> set[str]:
    found = re.search(rf"const {name} = \[(.*?)\]", (WEB / "parts/codes.js").read_text(), re.DOTALL)
    assert found is not None
    return set(re.findall(r'"(\w+)"', found[1]))


def test_the_open_states_and_the_reasons_to_refuse_are_those_of_the_service() -> None:
    assert listed("OPEN") == set(OPEN_REQUEST)
    assert listed("REFUSALS") == {str(reason) for reason in REFUSALS}


def test_the_dark_look_is_the_same_whether_it_was_chosen_or_is_the_system_s() -> None:
    """CSS has no way to say it once without leaving out browsers of a few years ago."""
    css = (WEB / "styles/base.css").read_text()
    blocks = re.findall(r"\{([^{}]*color-scheme: dark;[^{}]*)\}", css)
    chosen, by_system = (re.findall(r"(--[\w-]+|color-scheme): ([^;]+);", one) for one in blocks)
    assert len(chosen) > 15 and chosen == by_system
