"""The page for callers of the API: its examples are carried out, and what it lists is compared."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.erasure.bulk import Answer
from app.erasure.bulk_rows import NEEDED, OPTIONAL
from app.erasure.filtering import RequestFilter
from tests.architecture.test_docs import table_rows
from tests.docs.pages import runnable
from tests.erasure.conftest import Cases, cases, model
from tests.listening import listening

__all__ = ["cases", "model"]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "api.md").read_text()


def examples() -> list[tuple[str, str]]:
    return [(block.language, block.text) for block in runnable("docs/api.md", "bash", "python")]


def test_every_example_of_the_page_works(cases: Cases, tmp_path: Path) -> None:
    """The Python of the page is one program, made of its parts; each part is carried out where it
    stands, after those before it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "lotus"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app.cli "$@"\n')
    command.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    begin = ""
    with listening(cases.api.app) as url:  # type: ignore[arg-type]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LOTUS_")},
            "LOTUS_URL": url,
            "LOTUS_API_KEY": cases.api.headers["Authorization"].removeprefix("Bearer "),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        for language, code in examples():
            if language == "python" and not begin:
                begin = code.partition("request =")[0]
            whole = code if language == "bash" or code.startswith(begin) else begin + code
            program = ["bash", "-ec"] if language == "bash" else [sys.executable, "-c"]
            done = subprocess.run(
                [*program, whole],
                env=environment,
                cwd=work,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, (code, done.stdout, done.stderr)
    assert len(examples()) >= 12
    found = {
        one["external_id"]: one["state"]
        for one in cases.api.get("/api/v1/erasure-requests").json()["items"]
        if one["external_id"]
    }
    assert found == {
        "case-1": "scheduled",
        "case-2": "scheduled",
        "case-3": "completed",
        "case-4": "scheduled",
    }


def test_the_page_lists_every_filter_status_and_column() -> None:
    filters = GUIDE.split("| parameter | lets through | order |")[1].split("\n\n")[0]
    assert [row[0] for row in table_rows(filters)] == list(RequestFilter.model_fields)
    statuses = GUIDE.split("| status | meaning |")[1].split("\n\n")[0]
    assert [row[0] for row in table_rows(statuses)] == [str(one) for one in Answer]
    columns = GUIDE.split("a heading with ")[1].split(", in any order")[0]
    assert set(re.findall(r"`(\w+)`", columns)) == {*NEEDED, *OPTIONAL}


@pytest.mark.parametrize("name", ["idempotency-key-reused", "idempotency-key-in-use"])
def test_the_problems_that_the_page_names_are_the_code_s(name: str) -> None:
    source = (ROOT / "app" / "http" / "idempotency.py").read_text()
    assert f'code = "{name}"' in source and f"`{name}`" in GUIDE
