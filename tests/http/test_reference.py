"""`/docs`, which must work with no internet and trust no other host."""

import re

from fastapi.testclient import TestClient


def test_the_page_loads_only_what_this_service_serves(anonymous: TestClient) -> None:
    page = anonymous.get("/docs")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/start.js"} <= set(named)
    for path in named:
        if not path.startswith("data:"):
            assert path.startswith("/docs/")
            assert anonymous.get(path).status_code == 200
    assert "http:" not in page.text and "https:" not in page.text


def test_no_script_runs_but_the_service_s_own_files(anonymous: TestClient) -> None:
    page = anonymous.get("/docs")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "<script>" not in page.text, "an inline script would be blocked"


def test_the_script_reads_the_description_and_asks_nobody_else(anonymous: TestClient) -> None:
    start = anonymous.get("/docs/start.js")
    assert start.headers["Content-Type"].startswith("text/javascript")
    assert 'url: "/openapi.json"' in start.text
    assert "validatorUrl: null" in start.text
    assert len(anonymous.get("/docs/swagger-ui-bundle.js").content) > 1_000_000
    assert anonymous.get("/redoc").status_code == 404
