"""A service that does not answer, that is slow, or that refuses; and what a keyboard reaches."""

from typing import Any

from tests.e2e.conftest import Window

CALLS = "**/api/v1/**"


def test_a_service_that_is_gone_is_told_and_comes_back_by_itself(window: Window) -> None:
    page = window.page
    window.log_in()
    page.get_by_role("heading", name="Deadlines").wait_for()
    page.route(CALLS, lambda route: route.abort())
    banner = page.locator(".banner")
    banner.get_by_text("The service does not answer.").wait_for()
    assert page.get_by_role("heading", name="Deadlines").is_visible(), "what was known stays"
    page.unroute(CALLS)
    banner.wait_for(state="hidden", timeout=30_000)


def test_the_first_look_also_waits_for_a_service_that_is_gone(window: Window) -> None:
    page = window.page
    page.route(CALLS, lambda route: route.abort())
    window.open()
    page.get_by_text("The service does not answer.").wait_for()
    page.unroute(CALLS)
    page.get_by_label("API key").wait_for(timeout=30_000)


def test_too_many_calls_are_waited_for_as_long_as_the_service_says(window: Window) -> None:
    page = window.page
    window.log_in()
    page.get_by_role("heading", name="Deadlines").wait_for()
    calls: list[str] = []

    def refuse(route: Any) -> None:
        calls.append(route.request.url)
        route.fulfill(
            status=429,
            headers={"Retry-After": "600", "Content-Type": "application/problem+json"},
            body='{"type": "x", "title": "Too many", "status": 429, "detail": "Too many calls."}',
        )

    page.route(CALLS, refuse)
    page.get_by_text("This key has made more calls than it may").wait_for()
    page.wait_for_timeout(5_000)
    # Whoever goes to and fro between windows makes no more calls either.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.wait_for_timeout(500)
    assert len(calls) == 1
    page.unroute(CALLS)
    page.get_by_role("button", name="Try now").click()
    page.locator(".banner").wait_for(state="hidden")


def test_what_has_not_changed_is_asked_for_with_its_tag_and_drawn_once(window: Window) -> None:
    page = window.page
    window.log_in(address="#/requests?state=refused")
    page.get_by_role("link", name="case-3").wait_for()
    with page.expect_response(lambda answer: "/erasure-requests?" in answer.url) as answer:
        pass
    assert answer.value.status == 304
    assert answer.value.request.headers["if-none-match"].startswith("W/")


def test_a_field_in_use_survives_what_changes_around_it(window: Window) -> None:
    page = window.page
    window.log_in(address="#/requests")
    field = page.get_by_label("Case number")
    field.fill("half-typed")
    page.wait_for_timeout(5_000)
    assert field.input_value() == "half-typed"
    assert page.evaluate("document.activeElement.name") == "external_id"


def test_the_keyboard_reaches_the_page_its_menu_and_the_meaning_of_a_word(window: Window) -> None:
    page = window.page
    window.log_in()
    page.get_by_role("heading", name="Deadlines").wait_for()
    page.reload()
    page.get_by_role("heading", name="Deadlines").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "H1"

    page.get_by_role("link", name="Requests", exact=True).focus()
    page.keyboard.press("Enter")
    page.locator("h1:focus", has_text="Requests").wait_for()
    assert page.title() == "Requests · LoTUS"

    page.go_back()
    word = page.locator("summary", has_text="Overdue")
    word.focus()
    page.keyboard.press("Enter")
    meaning = page.get_by_text("Open, and the legal period has passed.")
    meaning.wait_for()
    page.keyboard.press("Escape")
    meaning.wait_for(state="hidden")


def test_a_hidden_window_asks_rarely(window: Window) -> None:
    page = window.page
    window.log_in()
    page.get_by_role("heading", name="Deadlines").wait_for()
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(3_000)  # one look may have been on its way
    before = len(calls)
    page.wait_for_timeout(5_000)
    assert len(calls) == before
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(1_000)
    assert len(calls) > before
