"""What goes wrong beside a service that is gone: half an answer, a wrong clock, somebody who was
faster, a key that was revoked."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import Window
from tests.e2e.pages import PAGES
from tests.end_to_end.service import Service, subject

PROBLEM = {"Content-Type": "application/problem+json"}
CALLS = "**/api/v1/**"


def without_stream(page: Any) -> None:
    """So that it polls as it would behind a proxy that breaks streams off."""
    page.route("**/events", lambda route: route.abort())


def test_what_was_read_before_a_look_failed_is_shown_by_the_next_one(window: Window) -> None:
    """The first call of the look is answered with something new, a later one fails. To the next
    look all is as it was read before."""
    page, request = window.page, window.stock.requests["held"]
    failed: list[str] = []

    def renamed(route: Any) -> None:
        if route.request.headers.get("if-none-match") == 'W/"new"':
            route.fulfill(status=304, headers={"ETag": 'W/"new"'})
            return
        asked = {k: v for k, v in route.request.headers.items() if k != "if-none-match"}
        found = route.fetch(headers=asked)
        body = {**found.json(), "external_id": "renamed"}
        route.fulfill(response=found, headers={**found.headers, "etag": 'W/"new"'}, json=body)

    def fails_once(route: Any) -> None:
        if failed:
            route.continue_()
            return
        failed.append(route.request.url)
        route.fulfill(status=503, headers={**PROBLEM, "Retry-After": "1"}, body="{}")

    without_stream(page)
    window.log_in(address=f"#/requests/{request}")
    page.get_by_role("heading", name="case-2").wait_for()
    page.route(f"**/{request}/certificates", fails_once)
    page.route(f"**/api/v1/erasure-requests/{request}", renamed)
    page.get_by_role("heading", name="renamed").wait_for()
    assert failed != []


@pytest.mark.parametrize("kind", ["hangs", "breaks off", "is no JSON"])
def test_a_service_that_does_not_finish_its_answer_is_told(window: Window, kind: str) -> None:
    page = window.page
    page.clock.install()
    window.log_in()
    page.get_by_role("heading", name="Deadlines").wait_for()

    def answer(route: Any) -> None:
        if kind == "breaks off":
            route.abort("connectionreset")
        elif kind == "is no JSON":
            route.fulfill(status=200, content_type="text/html", body="<p>Please log in to the net")

    page.route(CALLS, answer)
    page.clock.run_for(25_000)
    page.get_by_text("The service does not answer.").wait_for()
    assert page.get_by_role("heading", name="Deadlines").is_visible(), "what was known stays"


def test_a_viewer_s_clock_that_is_wrong_moves_no_deadline(window: Window) -> None:
    page = window.page
    page.clock.install(time=datetime.now(UTC) + timedelta(days=12))
    window.log_in()
    page.get_by_text("The next is due in 30 days.").wait_for()
    page.locator("li", has_text="case-2").get_by_text("due in 30 days").wait_for()
    assert page.get_by_text("due in 17 days").count() == 0


def test_who_decides_what_somebody_else_has_decided_is_told(
    window: Window, service: Service
) -> None:
    who = subject(window.stock.persons.pop())
    asked = service.client.submit_erasure(who, external_id="contested")
    page = window.page
    window.log_in(address=f"#/requests/{asked.id}")
    page.get_by_role("button", name="Approve").click()
    service.client.refuse(asked.id, "legal_claims")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Approve").click()
    dialog.get_by_role("alert").get_by_text("refused").wait_for()
    dialog.get_by_role("button", name="Back").click()
    page.locator(".head .badge", has_text="refused").wait_for()
    page.get_by_role("button", name="Approve").wait_for(state="detached")


def test_a_write_that_got_no_answer_is_not_said_to_have_failed(window: Window) -> None:
    page = window.page
    window.log_in(address=f"#/requests/{window.stock.requests['waiting']}")
    page.route("**/approve", lambda route: route.abort())
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    page.get_by_text("It is not known whether this was done").wait_for()


def test_a_refusal_that_comes_after_the_dialog_was_closed_is_told_all_the_same(
    window: Window,
) -> None:
    page = window.page
    waiting: list[Any] = []
    window.log_in(address=f"#/requests/{window.stock.requests['waiting']}")

    def later(route: Any) -> None:
        waiting.append(route)

    page.route("**/approve", later)
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    page.wait_for_timeout(200)
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    body = json.dumps(
        {"type": "x:y", "title": "No", "status": 409, "detail": "Somebody was first."}
    )
    waiting[0].fulfill(status=409, headers=PROBLEM, body=body)
    page.get_by_role("dialog", name="Not done").get_by_text("Somebody was first.").wait_for()


def test_a_key_revoked_while_its_page_is_open_ends_what_was_begun(
    window: Window, service: Service
) -> None:
    made = service.client.create_key("to be revoked", ["requests:read", "requests:decide"])
    page = window.page
    window.log_in(made.key, f"#/requests/{window.stock.requests['waiting']}")
    page.get_by_role("button", name="Hold").click()
    service.client.revoke_key(made.id)
    page.get_by_role("dialog").get_by_role("button", name="Hold").click()
    page.get_by_text("Your session has ended").wait_for()
    assert page.get_by_role("dialog").count() == 0
    # Whoever logs in again is where he was.
    page.get_by_label("API key").fill(window.stock.key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("It waits until somebody agrees.").wait_for()


def test_a_key_shown_once_stays_though_its_maker_is_logged_out(
    window: Window, service: Service
) -> None:
    made = service.client.create_key("own", ["keys:admin"])
    page = window.page
    window.log_in(made.key, "#/keys")
    page.get_by_role("button", name="Rotate own").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    page.get_by_text("Your session has ended").wait_for()
    new = page.locator(".secret").inner_text()
    page.get_by_role("button", name="Close").click()
    page.get_by_label("API key").fill(new)
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("you are logged in with it").wait_for()


def test_a_dialog_closes_with_the_page_it_was_opened_on(window: Window) -> None:
    page = window.page
    window.log_in(address="#/requests")
    page.get_by_role("link", name="case-2").click()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").wait_for()
    page.go_back()
    page.get_by_role("heading", level=1, name="Requests").wait_for()
    page.get_by_role("dialog").wait_for(state="detached")


@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_can_be_loaded_anew_and_come_back_to(window: Window, name: str) -> None:
    page, address = window.page, PAGES[name](window.stock)
    window.log_in(address=address)
    window.settled()
    heading = page.get_by_role("heading", level=1).inner_text()
    page.reload()
    window.settled()
    assert page.get_by_role("heading", level=1).inner_text() == heading
    page.get_by_role("link", name="Models" if name == "keys" else "Keys", exact=True).click()
    page.get_by_role("heading", level=1, name=heading, exact=True).wait_for(state="detached")
    page.go_back()
    page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()


@pytest.mark.parametrize(
    "address",
    [
        "#/requests?due=1e300",
        "#/requests?due=soon&updated_since=yesterday",
        "#/requests?updated_since=%2B275760-09-13T00:00:00Z",
        "#/requests?state=bogus&model=mdl_x&regulation=none",
        "#/runs?state=bogus&model=mdl_x",
        "#/audit?request=%3Cscript%3E",
        "#/keys?cursor=%00",
        "#/requests/%2e%2e%2f%2e%2e%2fkeys",
    ],
)
def test_an_address_that_somebody_made_up_breaks_no_page(window: Window, address: str) -> None:
    window.log_in(address=address)
    window.settled()
    assert window.page.get_by_text("could not be loaded").count() == 0
    assert window.page.get_by_text("a fault of the dashboard").count() == 0


def test_a_model_beyond_the_first_page_of_models_can_be_chosen_and_stays_chosen(
    window: Window,
) -> None:
    page = window.page
    names = [(f"mdl_{one:032x}", f"model {one}") for one in range(300)]

    def answer(route: Any) -> None:
        second = "cursor=" in route.request.url
        some = names[200:] if second else names[:200]
        items = [{"id": id, "name": name} for id, name in some]
        route.fulfill(json={"items": items, "next_cursor": None if second else "more"})

    page.route("**/api/v1/models?*", answer)
    window.log_in(address=f"#/requests?model={names[250][0]}")
    page.get_by_text("No request fits this filter.").wait_for()
    assert page.get_by_label("Model").locator("option:checked").inner_text() == "model 250"
    page.get_by_label("State").select_option("open")
    page.wait_for_url("**state=open**")
    assert f"model={names[250][0]}" in page.url
