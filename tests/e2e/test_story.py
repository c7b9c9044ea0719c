"""What administrators do: log in, find a request, decide, follow it, check its certificate."""

from typing import Any

from tests.e2e.conftest import HOSTILE, Window
from tests.end_to_end.service import Service, subject

LINK = "a[href^='#/requests/req_']"


def test_a_request_is_approved_followed_and_its_certificate_checked(
    window: Window, service: Service
) -> None:
    asked = service.client.submit_erasure(
        subject(window.stock.persons.pop()), external_id="story-1"
    )
    page = window.page
    window.log_in(address="#/requests?state=awaiting_approval")
    page.get_by_role("link", name="story-1").click()
    page.get_by_text("It waits until somebody agrees.").wait_for()
    page.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog")
    assert "Work begins as soon as a worker is free" in dialog.inner_text()
    dialog.get_by_role("button", name="Approve").click()
    # Nobody reloads: the stream of events tells of the run and of its end.
    page.get_by_text("A run works on it.").wait_for(timeout=60_000)
    page.locator(".head .badge", has_text="completed").wait_for(timeout=90_000)
    assert service.client.get_request(asked.id).state == "completed"
    page.get_by_text("Request: completed, from running").wait_for(timeout=30_000)

    page.get_by_role("button", name="Verify now").click(timeout=60_000)
    page.get_by_text("Every check held.").wait_for()
    assert "keys that came from the same service" in page.locator(".checks").inner_text()
    page.get_by_role("button", name="View").click()
    page.get_by_role("heading", name="Its limits").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == service.client.get_certificate(asked.id)


def test_a_certificate_that_was_changed_is_not_accepted(window: Window) -> None:
    """One byte of the statement on its way to the browser."""
    page = window.page
    page.route("**/api/v1/certificates/*", _changed)
    window.log_in(address=f"#/requests/{window.stock.requests['completed']}")
    page.get_by_role("button", name="Verify now").click()
    page.get_by_text("A check did not hold.").wait_for()
    assert "The signature is not of this statement." in page.locator(".checks").inner_text()


def test_several_requests_are_put_on_hold_at_once(window: Window, service: Service) -> None:
    for number in (1, 2):
        who = subject(window.stock.persons.pop())
        service.client.submit_erasure(who, external_id=f"bulk-{number}")
    page = window.page
    window.log_in(address="#/requests?state=awaiting_approval")
    for number in (1, 2):
        page.get_by_label(f"Choose bulk-{number}").check()
    page.get_by_text("2 chosen").wait_for()
    page.get_by_role("group", name="Chosen requests").get_by_role("button", name="Hold").click()
    page.get_by_role("dialog").get_by_label("Reason").select_option("legal_hold")
    page.get_by_role("dialog").get_by_role("button", name="Hold 2").click()
    page.get_by_text("2 of 2 done.").wait_for()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="bulk-1").wait_for(state="detached")
    held = {one.external_id for one in service.client.list_requests(state="on_hold")}
    assert {"bulk-1", "bulk-2"} <= held


def test_the_filter_stands_in_the_address_and_finds_by_case_number(window: Window) -> None:
    page = window.page
    window.log_in(address="#/requests")
    page.get_by_label("State").select_option("refused")
    page.wait_for_url("**#/requests?state=refused")
    page.get_by_role("link", name="case-3").wait_for()
    page.get_by_role("link", name="case-1", exact=True).wait_for(state="detached")
    page.get_by_role("link", name="Clear the filter").click()
    page.get_by_role("link", name="Clear the filter").wait_for(state="detached")
    assert page.get_by_label("State").input_value() == ""
    page.get_by_label("Case number").fill("case-2")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="case-2").wait_for()
    page.locator(LINK).nth(1).wait_for(state="detached")
    page.reload()
    page.get_by_role("link", name="case-2").wait_for()
    assert page.locator(LINK).count() == 1


def test_what_the_filter_finds_can_be_exported(window: Window, service: Service) -> None:
    page = window.page
    window.log_in(address="#/requests?state=refused")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    refused = len(list(service.client.list_requests(state="refused")))
    assert (lines[-1], len(lines)) == (f"#end,{refused}", refused + 2)
    assert any("case-3" in line for line in lines)


def test_what_callers_wrote_is_text(window: Window) -> None:
    window.log_in(address=f"#/requests/{window.stock.requests['waiting']}")
    window.settled()
    assert window.page.get_by_role("heading", level=1).inner_text() == HOSTILE
    assert window.page.locator("img").count() == 0


def _changed(route: Any) -> None:
    answer = route.fetch()
    bundle = answer.json()
    payload = bundle["envelope"]["payload"]
    bundle["envelope"]["payload"] = (
        payload[:100] + ("A" if payload[100] != "A" else "B") + payload[101:]
    )
    route.fulfill(response=answer, json=bundle)
