"""What callers wrote stands on every page as they wrote it, does nothing, and hides nothing."""

from typing import Any

import pytest

from tests.e2e.conftest import Window
from tests.e2e.pages import Stock
from tests.end_to_end.service import Service, subject

# Case numbers have no blanks; names and notes do.
CASE = "<script>window.hurt=1</script><img/src=x/onerror=window.hurt=1>&lt;b&gt;{{7*7}}"
MARKUP = CASE + " <iframe srcdoc='<script>parent.hurt=1</script>'> ${7*7}"
LINK = "javascript:window.hurt=1"
RIGHT_TO_LEFT = "\u05d0\u05d1\u05d2 1 (2)"
LONG = "W" * 200


@pytest.fixture(scope="module")
def strange(stock: Stock, service: Service) -> dict[str, str]:
    found = {}
    for text in (CASE, LINK, LONG):
        who = subject(stock.persons.pop())
        found[text] = service.client.submit_erasure(who, external_id=text).id
    service.client.hold(found[CASE], "internal_review", note=MARKUP + "\n" + LONG)
    return found


def test_it_is_text_on_every_page(
    window: Window, service: Service, strange: dict[str, str]
) -> None:
    page = window.page
    key = service.client.create_key(MARKUP, ["requests:read", "audit:read", "keys:admin"])
    window.log_in(key.key)
    addresses = ["#/", "#/requests", "#/keys", *(f"#/requests/{id}" for id in strange.values())]
    for address in addresses:
        window.open(address)
        window.settled()
        assert page.locator(".who").get_by_text(MARKUP).is_visible()
        assert page.evaluate("window.hurt") is None
        assert page.locator("main :is(img, iframe, object), body script").count() == 0
        assert page.locator("a[href*='javascript' i]").count() == 0
    window.open(f"#/requests/{strange[CASE]}")
    page.get_by_role("heading", level=1, name=CASE).wait_for()
    assert page.locator("blockquote").inner_text() == MARKUP + "\n" + LONG
    service.client.revoke_key(key.id)


@pytest.mark.parametrize(
    "window",
    [{"viewport": {"width": 1280, "height": 900}}, {"viewport": {"width": 360, "height": 740}}],
    ids=["wide", "narrow"],
    indirect=True,
)
def test_a_long_text_pushes_nothing_out_of_sight(window: Window, strange: dict[str, str]) -> None:
    page = window.page
    window.log_in(address="#/requests")
    page.get_by_role("link", name=LONG).wait_for()
    assert page.evaluate(OUT_OF_SIGHT, "main .badge, main td time") == []
    page.get_by_role("link", name=LONG).click()
    page.get_by_role("heading", level=1, name=LONG).wait_for()
    page.get_by_role("button", name="Hold").click()
    page.get_by_role("dialog").wait_for()
    assert page.evaluate(OUT_OF_SIGHT, "dialog *, main *") == []


OUT_OF_SIGHT: Any = """(which) => [...document.querySelectorAll(which)]
  .filter((one) => one.checkVisibility())
  .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((one) => `${one.tagName} ${one.textContent.slice(0, 40)}`)"""


def test_a_text_from_right_to_left_turns_nothing_beside_it(
    window: Window, service: Service
) -> None:
    page = window.page
    made = service.client.create_key(RIGHT_TO_LEFT, ["keys:admin"])
    window.log_in(made.key, "#/keys")
    row = page.locator("tr", has_text="you are logged in with it")
    row.wait_for()
    style = "(one) => getComputedStyle(one).unicodeBidi"
    for one in (page.locator(".who strong"), row.locator(".name")):
        assert one.inner_text() == RIGHT_TO_LEFT
        assert one.evaluate(style) == "isolate"
    service.client.revoke_key(made.id)
