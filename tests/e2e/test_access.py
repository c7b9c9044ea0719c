"""Who is let in, what a key without scopes sees, and what happens when a session ends."""

from tests.e2e.conftest import Window
from tests.end_to_end.service import Service


def test_a_wrong_key_is_refused_in_words(window: Window) -> None:
    window.open()
    window.page.get_by_label("API key").fill("lot_wrong")
    window.page.get_by_role("button", name="Log in").click()
    alert = window.page.get_by_role("alert")
    alert.get_by_text("This key is not valid").wait_for()
    assert window.page.get_by_label("API key").is_visible()


def test_log_in_leads_to_the_page_that_was_asked_for_and_keeps_no_key(window: Window) -> None:
    page = window.page
    address = f"#/requests/{window.stock.requests['held']}"
    window.log_in(address=address)
    page.get_by_role("heading", name="case-2").wait_for()
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage]) + document.cookie")
    assert window.stock.key not in kept
    assert page.evaluate("document.cookie") == ""


def test_a_session_that_ended_asks_for_the_key_and_goes_back_to_the_page(window: Window) -> None:
    page = window.page
    window.log_in(address="#/requests?state=on_hold")
    page.get_by_role("link", name="case-2").wait_for()
    page.context.clear_cookies()
    page.get_by_label("API key").fill(window.stock.key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="case-2").wait_for()
    assert page.url.endswith("#/requests?state=on_hold")


def test_log_out_ends_the_session(window: Window) -> None:
    window.log_in()
    window.page.get_by_role("button", name="Log out").click()
    window.page.get_by_label("API key").wait_for()
    window.page.reload()
    window.page.get_by_label("API key").wait_for()


def test_a_key_that_only_reads_finds_no_button_and_is_told_why(window: Window) -> None:
    page = window.page
    window.log_in(window.stock.reader, f"#/requests/{window.stock.requests['waiting']}")
    page.get_by_text("Your key only reads").wait_for()
    page.get_by_text("Your key lacks the scope audit:read.").wait_for()
    assert page.get_by_role("button", name="Refuse").count() == 0
    window.open("#/requests")
    page.get_by_role("link", name="case-1", exact=True).wait_for()
    assert page.get_by_role("checkbox").count() == 0


def test_a_key_without_the_page_s_scope_is_told_which(window: Window, service: Service) -> None:
    key = service.client.create_key("auditor", ["audit:read"]).key
    window.log_in(key)
    window.page.get_by_text("Your key lacks the scope requests:read.").wait_for()
