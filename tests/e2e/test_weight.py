"""What a page weighs, and when there is something to read: figures for docs/dashboard.md, left in
build/e2e/weight.json. Only the weight is tested."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import PICTURES, Window
from tests.e2e.pages import PAGES

# Without charts, the whole of the dashboard is lighter than one photograph.
MOST_KILOBYTES = 300

_ASKED = """async () => {
  const largest = await new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime))
      .observe({ type: "largest-contentful-paint", buffered: true });
  });
  const loaded = [
    ...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource"),
  ];
  return {
    files: loaded.length,
    kilobytes: loaded.reduce((sum, one) => sum + one.transferSize, 0) / 1000,
    first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    largest_paint_ms: largest,
    charts: loaded.some((one) => one.name.includes("plotly")),
  };
}"""


@pytest.mark.parametrize("name", ["overview", "requests", "request-completed", "run"])
def test_a_page_is_light_and_loads_the_charts_where_there_are_some(
    window: Window, browser: Any, name: str
) -> None:
    window.log_in()
    # Nothing of it in the browser's cache.
    context = browser.new_context(storage_state=window.page.context.storage_state())
    try:
        page = context.new_page()
        fresh = Window(page, window.stock)
        fresh.open(PAGES[name](window.stock))
        fresh.settled()
        found = page.evaluate(_ASKED)
    finally:
        context.close()
    _write(name, found)
    assert found["charts"] is (name == "run")
    if not found["charts"]:
        assert found["kilobytes"] < MOST_KILOBYTES


def _write(name: str, found: dict[str, Any]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    file = PICTURES / "weight.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | {name: found}, indent=2) + "\n")
