"""Every page in light, dark and narrow: a picture, no error, nothing that axe-core finds."""

from typing import Any

import pytest

from tests.e2e.conftest import PICTURES, Window
from tests.e2e.pages import PAGES

WIDE = {"width": 1280, "height": 900}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}

# What reaches beyond the window, and is not in a part that can be moved on its own.
BEYOND = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("main *")].filter(
    (one) => one.getBoundingClientRect().right > innerWidth + 1
  ).slice(0, 5).map((one) => `${one.tagName}.${one.className}: ${one.textContent.slice(0, 60)}`)"""


def looked_at(window: Window, name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = window.page
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
    assert page.evaluate(BEYOND) == [], "the page can be moved sideways"
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("window", list(LOOKS.values()), ids=list(LOOKS), indirect=True)
def test_every_page_can_be_read(window: Window, request: pytest.FixtureRequest) -> None:
    look = request.node.callspec.id
    window.open()
    window.page.get_by_label("API key").wait_for()
    looked_at(window, f"log-in-{look}")
    window.log_in()
    for name, address in PAGES.items():
        window.open(address(window.stock))
        window.settled()
        assert window.page.get_by_role("heading", level=1).inner_text() != ""
        looked_at(window, f"{name}-{look}")


@pytest.mark.parametrize(
    "window", [LOOKS["light"], LOOKS["narrow"]], ids=["light", "narrow"], indirect=True
)
def test_dialogs_and_a_certificate_can_be_read(
    window: Window, request: pytest.FixtureRequest
) -> None:
    look = request.node.callspec.id
    window.log_in(address=f"#/requests/{window.stock.requests['completed']}")
    window.page.get_by_role("button", name="View").click()
    window.page.get_by_text("Its limits").wait_for()
    looked_at(window, f"certificate-{look}")
    window.open(f"#/requests/{window.stock.requests['waiting']}")
    for action in ("Hold", "Extend the deadline", "Refuse"):
        window.page.get_by_role("button", name=action, exact=True).click()
        window.page.get_by_role("dialog").wait_for()
        looked_at(window, f"dialog-{action.split()[0].lower()}-{look}")
        window.page.keyboard.press("Escape")


def test_a_theme_that_was_chosen_stays(window: Window) -> None:
    window.log_in()
    window.page.get_by_label("Theme").select_option("dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = window.page.evaluate(ground)
    window.page.reload()
    window.settled()
    assert window.page.evaluate(ground) == dark
    window.page.get_by_label("Theme").select_option("light")
    assert window.page.evaluate(ground) != dark
