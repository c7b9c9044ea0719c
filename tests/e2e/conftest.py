"""One service and one browser for all tests; a window of its own for each.

The service runs for real, with a worker: the example's model is unlearned once. Every request waits
for an approval first, so that tests find what they expect.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.e2e.pages import Stock
from tests.end_to_end.conftest import digits
from tests.end_to_end.service import Service, subject

__all__ = ["digits"]

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "e2e"
BROWSER = os.environ.get("LOTUS_TEST_BROWSER", "")
# Without a browser these are no tests; `make e2e` names one.
collect_ignore_glob = [] if BROWSER else ["test_*.py"]

LENIENT = {"delta_auc": 0.3, "delta_band": 0.6, "max_accuracy_fall": 0.1}
# Charts come after what is said of them.
UNDRAWN = ".plot:not(:has(.main-svg))"
# Nobody ever looks at this text as markup.
HOSTILE = "<img/src=x/onerror=alert(1)>"


@pytest.fixture(scope="session")
def service(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("e2e") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def stock(service: Service, digits: Path) -> Stock:
    client, persons = service.client, _persons(digits)
    model = service.register(digits, approval="one", verification=LENIENT)
    asked = {
        "completed": client.submit_erasure(subject("customer-0042"), external_id="case-1").id,
        "held": client.submit_erasure(subject(persons.pop()), external_id="case-2").id,
        "refused": client.submit_erasure(subject(persons.pop()), external_id="case-3").id,
        "waiting": client.submit_erasure(subject(persons.pop()), external_id=HOSTILE).id,
    }
    client.approve(asked["completed"])
    client.hold(asked["held"], "identity_question")
    client.refuse(asked["refused"], "legal_claims")
    done = service.follow(asked["completed"])
    assert done.state == "completed"
    run = done.items[0].run
    assert run is not None
    reader = client.create_key("reader", ["requests:read"]).key
    return Stock(
        str(client.http.base_url).rstrip("/"), service.key, reader, model, run, persons, asked
    )


def _persons(digits: Path) -> list[str]:
    """Who has a few training rows, so that a run is short."""
    table = pq.read_table(digits / "manifest.parquet")
    rows = zip(table["customer_id"].to_pylist(), table["split"].to_pylist(), strict=True)
    return sorted({who for who, split in rows if split == "train"} - {"customer-0042"})


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # In a container nobody but root may be there, for whom Chromium has no sandbox.
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield opened
        opened.close()


@dataclass
class Window:
    """`page` is Playwright's. What goes wrong in it is remembered, and fails the test."""

    page: Any
    stock: Stock
    wrong: list[str] = field(default_factory=list)

    def open(self, address: str = "#/") -> None:
        self.page.goto(f"{self.stock.url}/dashboard/{address}")

    def log_in(self, key: str | None = None, address: str = "#/") -> None:
        self.open(address)
        self.page.get_by_label("API key").fill(key or self.stock.key)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("navigation", name="Pages").wait_for()

    def settled(self) -> None:
        """What the page shows has come."""
        self.page.locator("main .page > :not(.loading)").first.wait_for()
        self.page.locator("main .loading").wait_for(state="detached")
        self.page.locator(UNDRAWN).first.wait_for(state="detached")


@pytest.fixture
def window(browser: Any, stock: Stock, request: pytest.FixtureRequest) -> Iterator[Window]:
    """Options of the browser's context come by `@pytest.mark.parametrize(..., indirect=True)`."""
    context = browser.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    page.set_default_timeout(15_000)
    found = Window(page, stock)
    page.on("console", lambda told: _remember(found, told))
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    yield found
    page.unroute_all(behavior="ignoreErrors")
    context.close()
    assert found.wrong == []


def _remember(window: Window, told: Any) -> None:
    """The browser tells of every answer that is not 2xx; those are tested by what is shown."""
    if told.type in ("error", "warning") and "Failed to load resource" not in told.text:
        window.wrong.append(told.text)
