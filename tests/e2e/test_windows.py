"""Who is logged in: in several windows of one browser, and where the browser does not keep it."""

from typing import Any

from tests.e2e.conftest import Window
from tests.end_to_end.service import Service

PAGES = "Pages"


def test_another_window_shows_at_once_who_is_logged_in_now(window: Window) -> None:
    window.log_in(address="#/requests")
    page = window.page
    page.locator(".who", has_text="test").wait_for()
    # Polling would find out too, that somebody is, but not that it is somebody else.
    other = Window(page.context.new_page(), window.stock)
    other.open("#/requests")
    other.page.locator(".who", has_text="test").wait_for()
    page.get_by_role("button", name="Log out").click()
    other.page.get_by_label("API key").wait_for()
    page.get_by_label("API key").fill(window.stock.reader)
    page.get_by_role("button", name="Log in").click()
    other.page.locator(".who", has_text="reader").wait_for()
    other.page.get_by_role("link", name="case-1", exact=True).wait_for()
    assert other.page.get_by_role("checkbox").count() == 0, "the new key decides what is offered"


def test_a_browser_that_keeps_no_session_is_told_why_the_key_does_not_help(
    window: Window,
) -> None:
    page = window.page

    def answer(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        found = route.fetch()
        page.context.clear_cookies()
        kept = {name: text for name, text in found.headers.items() if name != "set-cookie"}
        route.fulfill(status=found.status, headers=kept, body=found.body())

    page.route("**/api/v1/session", answer)
    window.open()
    page.get_by_label("API key").fill(window.stock.key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").get_by_text("the browser did not keep the session").wait_for()


def test_who_could_not_be_logged_out_is_told(window: Window) -> None:
    page = window.page
    window.log_in()

    def refuse(route: Any) -> None:
        if route.request.method == "DELETE":
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/session", refuse)
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("dialog", name="You are still logged in").wait_for()
    page.get_by_role("button", name="Close").click()
    page.unroute("**/api/v1/session")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("API key").wait_for()


def test_a_key_that_reads_the_registry_alone_sees_a_model(window: Window, service: Service) -> None:
    key = service.client.create_key("registry", ["registry:read"]).key
    window.log_in(key, f"#/models/{window.stock.model}")
    window.page.get_by_role("heading", name="Policy").wait_for()
    window.page.get_by_text("Your key lacks the scope requests:read.").wait_for()
    assert window.page.get_by_text("lacks the scope registry:read").count() == 0
