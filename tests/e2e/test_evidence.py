"""What shows that a run did what it says: live progress, drawings, the log, models."""

import re
from typing import Any

from tests.e2e.conftest import Window
from tests.end_to_end.service import Service, subject, until

CHECK = "Check now"
LOG = "lotus-checkpoint"


def drawn(window: Window) -> list[str]:
    """What every chart of the page says of itself, once all of them are drawn."""
    page = window.page
    page.locator(".plot .main-svg").first.wait_for(timeout=60_000)
    window.settled()
    found: list[str] = page.locator(".plot").evaluate_all(
        "(all) => all.map((one) => one.getAttribute('aria-label'))"
    )
    return found


def untagged(route: Any) -> dict[str, str]:
    """Without its tag, for which the answer would be that nothing has changed."""
    return {k: v for k, v in route.request.headers.items() if k != "if-none-match"}


def answer_with(route: Any, **changes: Any) -> None:
    """What the service said, but for some fields."""
    found = route.fetch(headers=untagged(route))
    route.fulfill(response=found, json={**found.json(), **changes})


def test_a_run_is_watched_from_its_beginning_to_its_verdict_without_a_reload(
    window: Window, service: Service
) -> None:
    asked = service.client.submit_erasure(
        subject(window.stock.persons.pop()), external_id="watched"
    )
    service.client.approve(asked.id)
    run = until(lambda: service.client.get_request(asked.id).items[0].run, "the run")
    page = window.page
    window.log_in(address=f"#/runs/{run}")
    page.evaluate("window.untouched = true")
    page.get_by_role("link", name="watched").wait_for()
    page.locator(".head .badge", has_text="succeeded").wait_for(timeout=90_000)
    page.get_by_role("heading", name="Verdict").wait_for()
    drawn(window)
    assert page.evaluate("window.untouched") is True
    shown = service.client.get_run(run)
    assert shown.verdict is not None
    assert page.get_by_text(shown.verdict["sentence"]).is_visible()
    for reason in shown.verdict["reasons"]:
        assert page.get_by_text(reason[1:]).first.is_visible()


def test_every_figure_of_a_run_is_drawn_said_and_tabled(window: Window, service: Service) -> None:
    page = window.page
    window.log_in(address=f"#/runs/{window.stock.run}")
    said = drawn(window)
    run = service.client.get_run(window.stock.run)
    plots = service.client.get_plots(window.stock.run)
    assert len(said) == 5 + 2 + 3 + 2
    assert plots.roc is not None
    for pair in plots.roc.values():
        start = f"AUC {pair.before.auc:.3f} before and {pair.after.auc:.3f} after"
        assert sum(one.startswith(start) for one in said) >= 1
    # A table is made once it is asked for, and has a row for each epoch.
    chart = page.locator("figure", has=page.get_by_text("Temperature", exact=False)).first
    chart.locator("summary", has_text="The data as a table").click()
    chart.locator("tbody tr").last.wait_for()
    assert chart.locator("tbody tr").count() == len(run.epochs)
    assert run.metrics is not None
    auc = run.metrics["scores"]["phi"]
    name = page.locator("summary", has_text="Attack AUC")
    row = page.locator("tr", has=name).first.inner_text()
    assert f"{auc['before']['auc']:.3f}" in row
    assert f"{auc['after']['auc']:.3f}" in row


def test_charts_follow_the_theme(window: Window) -> None:
    window.log_in(address=f"#/models/{window.stock.model}")
    drawn(window)
    tick = window.page.locator(".plot .xtick text").first
    assert "rgb(23, 32, 44)" in (tick.get_attribute("style") or "")
    window.page.get_by_label("Theme").select_option("dark")
    window.page.locator('.plot .xtick text[style*="rgb(230, 235, 242)"]').first.wait_for()


def test_a_model_shows_its_versions_and_what_a_rollback_would_do(window: Window) -> None:
    page = window.page
    sent: list[Any] = []

    def answer(route: Any) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(
            status=409,
            headers={"Content-Type": "application/problem+json"},
            body='{"type": "x:case-closed", "title": "Closed", "status": 409, "detail": "A case."}',
        )

    page.route("**/rollback", answer)
    window.log_in(address=f"#/models/{window.stock.model}")
    drawn(window)
    assert page.locator(".lineage > li").count() >= 2
    assert "trained elsewhere" in page.locator(".lineage > li").last.inner_text()
    page.get_by_role("button", name="Go back to this").last.click()
    dialog = page.get_by_role("dialog")
    assert "unlearned once more" in dialog.inner_text()
    dialog.get_by_label("Reason").fill("accuracy fell")
    dialog.get_by_role("button", name="Go back to version 1").click()
    dialog.get_by_text("A case.").wait_for()
    assert sent[0]["reason"] == "accuracy fell"
    assert re.fullmatch("ver_[0-9a-f]{32}", sent[0]["version"])


def test_a_paused_model_can_be_resumed(window: Window) -> None:
    page = window.page
    sent: list[str] = []
    pause = {
        "until": "2999-01-01T00:00:00Z",
        "consecutive_failures": 3,
        "reason": "out_of_memory",
    }

    def paused(route: Any) -> None:
        answer_with(route, paused=pause)

    def resumed(route: Any) -> None:
        sent.append(route.request.method)
        route.fulfill(json={})

    page.route(f"**/api/v1/models/{window.stock.model}", paused)
    page.route("**/resume", resumed)
    window.log_in(address=f"#/models/{window.stock.model}")
    page.get_by_text("3 runs of this model failed in a row: the device ran out of").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").wait_for(state="detached")
    assert sent == ["POST"]


def test_a_run_that_failed_or_was_superseded_says_why(window: Window) -> None:
    page = window.page
    end: dict[str, Any] = {"state": "failed", "error_class": "numerical"}
    end |= {"error_detail": "loss was NaN", "verdict": None, "metrics": None}

    page.route(f"**/api/v1/runs/{window.stock.run}", lambda route: answer_with(route, **end))
    window.log_in(address=f"#/runs/{window.stock.run}")
    page.get_by_text("The run failed: figures were not finite. loss was NaN").wait_for()
    end |= {"state": "superseded", "error_class": None, "error_detail": None}
    page.reload()
    page.get_by_text("This run was superseded").wait_for()
    page.get_by_text("there is nothing to draw").wait_for()


def test_a_rejected_run_says_what_comes_next_and_shows_unknown_codes_as_they_are(
    window: Window, service: Service
) -> None:
    page = window.page
    verdict = service.client.get_run(window.stock.run).verdict
    assert verdict is not None
    told = {"name": "distinguishable", "publish": False, "tells_apart": ["phi", "a_new_attack"]}
    following = {"step": "other_method", "reasons": ["other_settings: no room", "other_method: it"]}
    changes = {"state": "rejected", "verdict": {**verdict, **told, "next": following}}
    address = f"**/api/v1/runs/{window.stock.run}"
    page.route(address, lambda route: answer_with(route, published_version=None, **changes))
    window.log_in(address=f"#/runs/{window.stock.run}")
    page.get_by_text("held back by the tests").wait_for()
    page.get_by_text("Another run: another method, after a rejected run.").wait_for()
    assert page.get_by_text("Other settings, after a rejected run: no room").is_visible()
    assert page.get_by_text("the loss attack", exact=True).is_visible()
    assert page.get_by_text("a new attack", exact=True).is_visible()


def test_the_log_is_checked_and_goes_on_from_what_was_seen(
    window: Window, service: Service
) -> None:
    page = window.page
    window.log_in(address="#/audit")
    page.get_by_role("button", name=CHECK).click()
    page.get_by_text("Every check held.").wait_for()
    assert "saw the log for the first time" in page.locator(".checks").inner_text()
    assert page.locator(".badge", has_text="not as logged").count() == 0
    assert page.locator(".badge", has_text="as logged").count() > 10

    # As if this browser had been here when the log was shorter.
    page.evaluate(REMEMBER, [LOG, earlier(service)])
    page.get_by_role("button", name=CHECK).click()
    page.get_by_text("stand unchanged at the beginning of these").wait_for()
    page.get_by_role("button", name=CHECK).click()
    page.get_by_text("The log is as this browser saw it last").wait_for()


REMEMBER = "([key, note]) => localStorage.setItem(key, JSON.stringify({note, at: '2026-01-01'}))"


def earlier(service: Service) -> str:
    """The first checkpoint that was ever signed."""
    http = service.client.http
    size = service.client.audit_head().size
    for one in range(1, size):
        answer = http.get(f"/api/v1/audit/checkpoints/{one}")
        if answer.status_code == 200:
            return answer.text
    raise AssertionError("the log was signed once only")


def test_a_log_that_does_not_go_on_from_what_was_seen_is_told(
    window: Window, service: Service
) -> None:
    """As if the browser had seen another root at that size."""
    page = window.page
    origin, size, root, *rest = earlier(service).split("\n")
    other = "\n".join([origin, size, "A" * 43 + "=", *rest])
    assert root != "A" * 43 + "="
    window.log_in(address="#/audit")
    page.evaluate(REMEMBER, [LOG, other])
    page.get_by_role("button", name=CHECK).click()
    page.get_by_text("A check did not hold.").wait_for()
    page.get_by_text("something was changed").wait_for()
    kept = page.evaluate(f"JSON.parse(localStorage.getItem('{LOG}')).note")
    assert kept == other, "what was seen before is evidence, and is not written over"


def test_an_entry_that_was_changed_is_told(window: Window) -> None:
    page = window.page

    def changed(route: Any) -> None:
        found = route.fetch(headers=untagged(route))
        body = found.json()
        body["items"][3]["created_at"] = "2020-01-01T00:00:00.000000Z"
        route.fulfill(response=found, json=body)

    page.route("**/api/v1/audit/entries?*", changed)
    window.log_in(address="#/audit")
    page.get_by_role("button", name=CHECK).click()
    page.get_by_text("A check did not hold.").wait_for()
    assert page.locator(".badge", has_text="not as logged").count() == 1
    assert page.evaluate(f"localStorage.getItem('{LOG}')") is None


def test_the_log_is_filtered_by_request_and_leads_from_page_to_page(window: Window) -> None:
    page = window.page
    request = window.stock.requests["completed"]
    window.log_in(address="#/audit")
    page.get_by_label("Entries of one request").fill(request)
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(f"**#/audit?request={request}")
    # Keys are made by nobody's request.
    page.get_by_text("Key created").first.wait_for(state="detached")
    page.get_by_text("Certificate written").first.wait_for()
    page.get_by_role("link", name="All entries").click()
    page.get_by_role("link", name="Earlier").click()
    page.get_by_role("rowheader", name="0", exact=True).wait_for()
    page.get_by_role("link", name="Newest").wait_for()
