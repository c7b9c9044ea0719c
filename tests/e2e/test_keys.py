"""Keys: made, shown once, used, rotated, revoked; and what a browser keeps of them."""

import httpx2

from tests.e2e.conftest import Window


def makes(window: Window, name: str, *scopes: str) -> str:
    page = window.page
    page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    for scope in scopes:
        dialog.get_by_label(scope).check()
    dialog.get_by_role("button", name="Make the key").click()
    shown: str = page.locator(".secret").inner_text()
    page.get_by_role("button", name="Close").click()
    return shown


def status(window: Window, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.get(f"{window.stock.url}/api/v1/session", headers=headers).status_code


def test_a_key_is_made_shown_once_and_revoked(window: Window) -> None:
    page = window.page
    window.log_in(address="#/keys")
    key = makes(window, "from the page", "requests:read")
    assert status(window, key) == 200
    assert key not in page.content()
    assert key not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    row = page.locator("tr", has_text="from the page")
    assert "requests:read" in row.inner_text()
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    row.locator(".badge", has_text="revoked").wait_for()
    assert status(window, key) == 401


def test_a_key_is_rotated_and_both_hold_for_the_overlap(window: Window) -> None:
    page = window.page
    window.log_in(address="#/keys")
    old = makes(window, "to be rotated", "audit:read")
    page.get_by_role("button", name="Rotate to be rotated").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    new = page.locator(".secret").inner_text()
    page.get_by_role("button", name="Close").click()
    page.get_by_text("in place of").first.wait_for()
    assert (status(window, old), status(window, new)) == (200, 200)


def test_a_key_without_a_scope_or_an_end_is_asked_for_it(window: Window) -> None:
    page = window.page
    window.log_in(address="#/keys")
    page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("nothing")
    dialog.get_by_role("button", name="Make the key").click()
    dialog.get_by_text("Choose at least one scope.").wait_for()
    dialog.get_by_label("audit:read").check()
    dialog.get_by_label("Lasts").select_option("other")
    dialog.get_by_role("button", name="Make the key").click()
    dialog.get_by_text("Say when the key ends.").wait_for()
    page.keyboard.press("Escape")


def test_a_key_that_may_not_manage_keys_sees_its_session_and_the_signing_keys(
    window: Window,
) -> None:
    page = window.page
    window.log_in(window.stock.reader, "#/keys")
    page.get_by_text("Your key lacks the scope keys:admin.").wait_for()
    page.get_by_role("heading", name="Signing keys").wait_for()
    assert page.get_by_role("button", name="Make a key").count() == 0
    page.get_by_role("button", name="Log out of this browser").click()
    page.get_by_label("API key").wait_for()


def test_a_key_that_only_reads_runs_is_offered_nothing_else(window: Window) -> None:
    page = window.page
    window.log_in(window.stock.reader, f"#/runs/{window.stock.run}")
    page.get_by_role("heading", name="Verdict").wait_for()
    window.open(f"#/models/{window.stock.model}")
    page.get_by_text("Your key lacks the scope registry:read.").wait_for()
    window.open("#/audit")
    page.get_by_text("Your key lacks the scope audit:read.").wait_for()
