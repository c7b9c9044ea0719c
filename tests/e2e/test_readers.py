"""Whoever sees little of the window at once, few colours, or nothing, and has a keyboard only."""

from typing import Any

import pytest

from tests.e2e.conftest import Window
from tests.e2e.pages import PAGES
from tests.e2e.test_pages import BEYOND
from tests.end_to_end.service import Service, subject

FOCUSED = "document.activeElement.tagName"


@pytest.mark.parametrize(
    "window",
    [{"viewport": {"width": 320, "height": 256}}, {"viewport": {"width": 640, "height": 450}}],
    ids=["magnified four times", "magnified twice"],
    indirect=True,
)
def test_no_page_has_to_be_moved_sideways(window: Window) -> None:
    window.log_in()
    for address in PAGES.values():
        window.open(address(window.stock))
        window.settled()
        assert window.page.evaluate(BEYOND) == []


@pytest.mark.parametrize("window", [{"forced_colors": "active"}], indirect=True)
def test_with_forced_colours_a_line_tells_what_a_ground_did(window: Window) -> None:
    page = window.page
    window.log_in(address=f"#/models/{window.stock.model}")
    window.settled()
    line = "(one) => getComputedStyle(one).borderTopStyle"
    for which in (".menu a[aria-current]", ".head .badge", ".term .means"):
        assert page.locator(which).first.evaluate(line) == "solid"
    # A drawing has no colours but its own, so it keeps its ground too.
    ground, text = page.locator(".plot").first.evaluate(
        "(one) => [getComputedStyle(one).backgroundColor, getComputedStyle(one).color]"
    )
    assert (ground, text) == ("rgb(255, 255, 255)", "rgb(23, 32, 44)")


def test_who_decides_by_keyboard_is_not_thrown_back_to_the_top(
    window: Window, service: Service
) -> None:
    who = subject(window.stock.persons.pop())
    asked = service.client.submit_erasure(who, external_id="by-keyboard")
    page = window.page
    window.log_in(address=f"#/requests/{asked.id}")
    page.get_by_role("button", name="Refuse").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Refuse").focus()
    page.keyboard.press("Enter")
    page.locator(".head .badge", has_text="refused").wait_for()
    page.locator("h1:focus").wait_for()
    # Its certificate is signed soon after, which changes nothing of the request itself.
    page.get_by_role("button", name="Verify now").wait_for()


def test_a_table_stays_one_where_its_rows_are_cards(window: Window) -> None:
    page = window.page
    page.set_viewport_size({"width": 360, "height": 740})
    window.log_in(address="#/requests")
    page.get_by_role("link", name="case-2").wait_for()
    roles = page.locator("table").evaluate_all(
        "(all) => all.flatMap((one) => [one, ...one.querySelectorAll('thead, tbody, tr, th, td')])"
        ".filter((one) => !one.hasAttribute('role')).length"
    )
    assert roles == 0


def test_a_double_click_reads_a_certificate_once_and_shows_it(window: Window) -> None:
    page = window.page
    read: list[str] = []

    def count(route: Any) -> None:
        read.append(route.request.url)
        route.continue_()

    page.route("**/api/v1/certificates/*", count)
    window.log_in(address=f"#/requests/{window.stock.requests['completed']}")
    page.get_by_role("button", name="View").dblclick()
    page.get_by_role("heading", name="Its limits").wait_for()
    assert len(read) == 1
