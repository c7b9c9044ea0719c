"""The dashboard's files as a browser gets them: what is served, as what, and what is in none."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from fastapi.testclient import TestClient

from app.audit.kinds import BODIES
from app.dashboard import plotly
from app.erasure.ladder import EXACT, FIXED
from app.erasure.recheck_tables import Trigger
from app.erasure.states import (
    ItemState,
    Outcome,
    Owner,
    Reopening,
    RequestState,
    RunState,
    RunStep,
)
from app.erasure.tables import ErrorClass, ReasonCode
from app.erasure.verdict import VerdictName
from app.erasure.verdict_clauses import ATTACKS
from app.keys.scopes import Scope
from app.registry.method_settings import RETRAIN, Method
from app.registry.policy import Approval, LadderStep, Mode
from app.registry.tables import Task

WEB = Path(__file__).parents[2] / "app" / "dashboard" / "web"
PAGE = "/dashboard/"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def texts() -> dict[str, str]:
    return {
        path.relative_to(WEB).as_posix(): path.read_text()
        for path in sorted(WEB.rglob("*"))
        if path.is_file()
    }


def modules() -> list[str]:
    return [name for name in texts() if name.endswith(".js")]


def base(client: TestClient) -> str:
    """Where the files of this version are, as the page says."""
    found = re.search(r'src="(files/[0-9a-f]{16}/)main\.js"', client.get(PAGE).text)
    assert found is not None
    return PAGE + found[1]


def imported(name: str) -> Iterator[str]:
    """The files of ours that a module imports, in whatever way."""
    for target in re.findall(r'(?:from|import)\s*\(?\s*"([^"]+)"', texts()[name]):
        parts: list[str] = []
        for part in (PurePosixPath(name).parent / target).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        if (path := "/".join(parts)) != plotly.PATH:
            yield path


def test_every_file_is_served_with_its_type_and_may_be_kept_for_ever(anonymous: TestClient) -> None:
    below = base(anonymous)
    for name, text in texts().items():
        if name == "index.html":
            continue
        answer = anonymous.get(below + name)
        assert answer.status_code == 200, name
        assert answer.text == text
        assert answer.headers["Content-Type"] == TYPES[PurePosixPath(name).suffix]
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_names_files_that_are_there_and_nothing_of_another_host(
    anonymous: TestClient,
) -> None:
    page = anonymous.get(PAGE)
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) >= 6
    for path in named:
        assert path.startswith("files/")
        assert anonymous.get(PAGE + path).status_code == 200


def test_the_policy_lets_only_files_of_the_service_run_and_no_text_become_markup(
    anonymous: TestClient,
) -> None:
    headers = anonymous.get(PAGE).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_an_unchanged_page_is_answered_with_304(anonymous: TestClient) -> None:
    page = anonymous.get(PAGE)
    assert page.headers["Cache-Control"] == "no-cache"
    again = anonymous.get(PAGE, headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Content-Security-Policy"] == page.headers["Content-Security-Policy"]
    assert anonymous.get(PAGE, headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "../endpoints.py",
        "..%2fendpoints.py",
        "%2e%2e/endpoints.py",
        "parts/../../files.py",
        "/etc/passwd",
        "parts",
        "parts/",
        "main.js/",
        "main.js%00",
        "main.js%00.css",
        "parts%5c..%5c..%5cfiles.py",
        "..%5c..%5cendpoints.py",
        "%2e%2e%2f%2e%2e%2ffiles.py",
        "%252e%252e/files.py",
        "parts//api.js",
        "./main.js%20",
        "%2fetc%2fpasswd",
        "MAIN.JS",
        "README.md",
        "",
    ],
)
def test_nothing_else_is_served(anonymous: TestClient, path: str) -> None:
    answer = anonymous.get(base(anonymous) + path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_files_of_another_version_are_not_there(anonymous: TestClient) -> None:
    assert anonymous.get("/dashboard/files/0123456789abcdef/main.js").status_code == 404


@pytest.mark.parametrize("path", ["/", "/dashboard"])
def test_other_addresses_lead_there_whatever_host_was_named(
    anonymous: TestClient, path: str
) -> None:
    answer = anonymous.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "dashboard/")
    assert anonymous.get(path).status_code == 200


def test_no_file_names_another_host() -> None:
    # The name of SVG's elements is no address that anybody asks.
    for name, text in texts().items():
        left = text.replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", left) == [], name


def test_the_page_has_no_script_style_or_handler_in_line() -> None:
    page = texts()["index.html"]
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


@pytest.mark.parametrize("name", modules())
def test_no_module_makes_markup_or_code_of_text(name: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
    assert re.findall(forbidden, texts()[name]) == []


@pytest.mark.parametrize("name", modules())
def test_every_module_that_is_imported_is_there(name: str) -> None:
    for target in imported(name):
        assert target in texts(), f"{name} imports {target}"


def test_every_module_is_reached_from_the_page() -> None:
    reached, waiting = {"theme.js"}, ["main.js"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += imported(name)
    assert set(modules()) == reached


@pytest.mark.parametrize("name", sorted(texts()))
def test_files_are_short(name: str) -> None:
    assert len(texts()[name].splitlines()) < 300


@pytest.mark.parametrize("name", modules())
@pytest.mark.skipif(not shutil.which("node"), reason="needs node; `make e2e` loads them all")
def test_every_module_can_be_parsed(name: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    copy = tmp_path / "module.mjs"
    copy.write_text(texts()[name])
    subprocess.run([node, "--check", copy], check=True, timeout=60)


def words(name: str, table: str) -> set[str]:
    """The codes that a table of words explains."""
    body = texts()[name].split(f"export const {table} = ")[1].split("\n};")[0]
    return set(re.findall(r'^ {2}"?([a-z0-9_:]+)"?:', body, re.MULTILINE))


def test_every_kind_of_entry_of_the_log_has_a_sentence_and_no_other() -> None:
    assert words("words/audit.js", "ENTRIES") == {str(kind) for kind in BODIES}


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        ("STATES", {*RequestState, *ItemState, *RunState}),
        ("OUTCOMES", set(Outcome)),
        ("REASONS", set(ReasonCode)),
        ("ERRORS", set(ErrorClass)),
        ("REOPENINGS", set(Reopening)),
        ("WAITS", set(Owner)),
        ("VERDICTS", set(VerdictName)),
    ],
)
def test_every_code_has_plain_words(table: str, codes: set[str]) -> None:
    assert {str(code) for code in codes} - words("words.js", table) == set()


@pytest.mark.parametrize(
    ("name", "table", "codes"),
    [
        ("words/runs.js", "STEPS", set(RunStep)),
        ("words/runs.js", "METHODS", {*Method, RETRAIN}),
        ("words/runs.js", "MODES", {*Mode, FIXED, EXACT}),
        ("words/runs.js", "ATTACKS", set(ATTACKS)),
        ("words/runs.js", "APPROVALS", set(Approval)),
        ("words/runs.js", "LADDER", set(LadderStep)),
        ("words/runs.js", "TRIGGERS", set(Trigger)),
        ("words/runs.js", "TASKS", set(Task)),
        ("words/keys.js", "SCOPES", set(Scope)),
    ],
)
def test_codes_of_runs_models_and_keys_have_plain_words_and_no_other_code_has(
    name: str, table: str, codes: set[str]
) -> None:
    assert words(name, table) == {str(code) for code in codes}


def test_every_term_that_a_page_names_is_in_the_glossary() -> None:
    known = {
        key
        for name in ("glossary.js", "words/figures.js")
        for key in re.findall(r"^ {2}([a-z_0-9]+): \{", texts()[name], re.MULTILINE)
    }
    for name in modules():
        for key in re.findall(r'\b(?:term|explained)\(\s*"([a-z_0-9]+)"', texts()[name]):
            assert key in known, f"{name} names {key}"
