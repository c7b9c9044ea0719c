"""What a process writes to its log, in processes of their own, since it takes over their hooks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.observability import JsonLines, as_request, current_request_id, new_request_id

ROOT = Path(__file__).parents[1]
JANE = "jane-the-unmistakable"
# The value comes from the environment: a line of code that quotes it would be code, not data.
SETUP = """
import logging, os, threading, warnings
from app import observability
observability.configure('debug')
jane = os.environ['JANE']
"""


def lines_of(program: str, **variables: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "JANE": JANE, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert JANE not in done.stderr
    assert done.stderr, "the program said nothing"
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    "program",
    [
        "raise KeyError(jane)",
        "def f(): raise KeyError(jane)\nt = threading.Thread(target=f); t.start(); t.join()",
        "class A:\n  def __del__(self): raise KeyError(jane)\na = A(); del a",
        "raise ExceptionGroup(jane, [KeyError(jane)])",
    ],
    ids=["process", "thread", "finaliser", "group"],
)
def test_what_nobody_caught_is_one_line_without_the_value_in_it(program: str) -> None:
    (line,) = lines_of(program)
    assert line["level"] == "critical"
    assert "KeyError" in line["exception"]


def test_a_cause_is_shown_and_a_database_s_error_by_its_code_alone() -> None:
    (line,) = lines_of(
        "import sqlalchemy as sa\n"
        "engine = sa.create_engine('sqlite://', hide_parameters=True)\n"
        "with engine.connect() as c:\n"
        "  c.execute(sa.text('SELECT * FROM nowhere WHERE x = :x'), dict(x=jane))\n"
    )
    assert "OperationalError: no such table: nowhere" in line["exception"]


def test_warnings_say_where_and_what_kind() -> None:
    (line,) = lines_of("warnings.warn(jane)")
    assert (line["level"], line["kind"]) == ("warning", "UserWarning")


def test_a_library_is_heard_from_warnings_upwards_in_the_words_of_its_code() -> None:
    lines = lines_of(
        "logging.getLogger('sqlalchemy.engine').debug('Row %r', jane)\n"
        "logging.getLogger('uvicorn.error').info('WebSocket %s', jane)\n"
        "logging.getLogger('uvicorn.error').info('process [%d]', 17)\n"
        "logging.getLogger('asyncio').error('never retrieved\\nfuture: ' + jane)\n"
        "logging.getLogger('uvicorn.access').info(jane)\n"
    )
    assert [line["message"] for line in lines] == [
        "WebSocket %s",
        "process [17]",
        "never retrieved",
    ]


def test_a_line_break_in_a_message_does_not_break_the_line() -> None:
    (line,) = lines_of("logging.getLogger('lotus.x').info('one\\ntwo')")
    assert line["message"] == "one\ntwo"


def test_a_request_id_from_a_message_is_bound_inside_the_block_only() -> None:
    outer, inner = new_request_id(), new_request_id()
    assert current_request_id() is None
    with as_request(outer):
        with as_request(inner):
            assert current_request_id() == inner
        assert current_request_id() == outer
    assert current_request_id() is None


@pytest.mark.parametrize("forged", [None, 7, "", JANE, "A" * 32, "0" * 33, ["0" * 32]])
def test_what_is_no_id_of_ours_binds_nothing(forged: object) -> None:
    with as_request(forged):
        assert current_request_id() is None


def test_a_child_process_logs_for_the_request_of_its_parent() -> None:
    identity = new_request_id()
    program = (
        "log = logging.getLogger('lotus.x')\n"
        "t = threading.Thread(target=log.info, args=('two',)); log.info('one'); t.start(); t.join()"
    )
    lines = lines_of(program, LOTUS_REQUEST_ID=identity)
    assert [line["request_id"] for line in lines] == [identity, identity]
    (line,) = lines_of("logging.getLogger('lotus').info('x')", LOTUS_REQUEST_ID=JANE)
    assert "request_id" not in line


def test_a_call_is_logged_by_its_route_with_the_id_that_was_answered(
    api: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lotus.http")
    caplog.handler.setFormatter(JsonLines())
    path = f"/api/v1/erasure-requests/req_{'0' * 32}"
    answers = [api.get(path), api.get(path, params={"note": JANE})]
    lines = [json.loads(text) for text in caplog.text.splitlines()]
    assert [line["route"] for line in lines] == ["/erasure-requests/{id}"] * 2
    assert [line["status"] for line in lines] == [one.status_code for one in answers] == [404, 422]
    ids = [line["request_id"] for line in lines]
    assert ids == [one.headers["x-request-id"] for one in answers]
    assert JANE not in caplog.text
