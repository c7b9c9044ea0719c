"""The commands that decide about a request, and what `lotus status` says of what waits."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.cli import deciding, erasing
from app.erasure.decision_tables import ExtensionReason, HoldReason
from app.erasure.refusing import REFUSALS
from tests.cli.conftest import Result
from tests.client.service import PROBLEM, REQUEST, answering

LotusHere = Callable[..., Result]
Service = Callable[..., list[httpx2.Request]]
ID = str(REQUEST["id"])
HELD: dict[str, Any] = {
    **REQUEST,
    "state": "on_hold",
    "clock_paused_since": "2026-02-03T12:00:00Z",
    "waits_for": {
        "by": "decider",
        "since": "2026-02-03T12:00:00Z",
        "until": "2026-02-10T00:00:00Z",
        "late": True,
    },
    "hold": {"reason": "identity_question", "until": "2026-02-10T00:00:00Z"},
    "deadline": {
        "first_due_at": "2026-03-02T23:59:59Z",
        "extended_due_at": "2026-04-30T23:59:59Z",
        "extension_reason": "complexity",
        "notified_at": "2026-02-02T00:00:00Z",
        "pauses": [{"since": "2026-02-03T12:00:00Z", "until": None}],
    },
    "decisions": [
        {
            "action": "hold",
            "reason": "identity_question",
            "note": "asked by [letter]",
            "decided_by": "key_" + "1" * 32,
            "decided_at": "2026-02-03T12:00:00Z",
        }
    ],
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """`service(answer, ...)`: what the commands of this test get, and the requests they sent."""

    def answers(*prepared: httpx2.Response) -> list[httpx2.Request]:
        client, seen = answering(*prepared)
        for module in (deciding, erasing):
            monkeypatch.setattr(module, "connect", lambda: client)
        return seen

    return answers


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (("approve", ID), "approve", None),
        (("resume", ID), "resume", None),
        (
            ("refuse", ID, "--reason", "legal_claims", "--note", "in court"),
            "refuse",
            {"reason_code": "legal_claims", "note": "in court"},
        ),
        (("refuse", ID, "--reason", "legal_claims"), "refuse", {"reason_code": "legal_claims"}),
        (
            ("hold", ID, "--reason", "legal_hold", "--until", "2026-04-01"),
            "hold",
            {"reason": "legal_hold", "until": "2026-04-01T00:00:00+00:00"},
        ),
        (
            ("extend", ID, "--reason", "complexity", "--notified", "2026-02-03T08:30:00Z"),
            "extend",
            {"reason": "complexity", "notified_at": "2026-02-03T08:30:00+00:00"},
        ),
    ],
)
def test_each_command_is_one_call(
    service: Service,
    lotus_here: LotusHere,
    arguments: tuple[str, ...],
    path: str,
    body: dict[str, str] | None,
) -> None:
    seen = service(httpx2.Response(202, json=REQUEST))
    result = lotus_here(*arguments, "--json")
    assert (result.code, result.document["id"]) == (0, ID)
    assert seen[0].url.path == f"/api/v1/erasure-requests/{ID}/{path}"
    assert (json.loads(seen[0].content) if seen[0].content else None) == body


def test_of_a_letter_only_the_digest_is_sent(
    service: Service, lotus_here: LotusHere, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_bytes(b"Dear Ada, it takes longer.")
    seen = service(httpx2.Response(202, json=REQUEST))
    told = ("--reason", "complexity", "--notified", "2026-02-03")
    assert lotus_here("extend", ID, *told, "--letter", str(letter)).code == 0
    body = json.loads(seen[0].content)
    assert body["evidence_sha256"] == hashlib.sha256(letter.read_bytes()).hexdigest()
    assert b"Ada" not in seen[0].content


def test_a_letter_that_is_not_there_is_said_and_nothing_is_sent(
    service: Service, lotus_here: LotusHere, tmp_path: Path
) -> None:
    seen = service()
    told = ("--reason", "complexity", "--notified", "2026-02-03")
    result = lotus_here("extend", ID, *told, "--letter", str(tmp_path / "none"))
    assert result.code == 1
    assert result.err.startswith("error: the letter could not be read")
    assert seen == []


def test_a_refused_decision_is_an_error(service: Service, lotus_here: LotusHere) -> None:
    service(httpx2.Response(403, json={**PROBLEM, "status": 403, "title": "Somebody else"}))
    result = lotus_here("approve", ID)
    assert result.code == 1
    assert result.err.startswith("error: Somebody else (403)")


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("refuse", set(REFUSALS)),
        ("hold", set(HoldReason)),
        ("extend", set(ExtensionReason)),
    ],
)
def test_the_help_of_a_decision_names_every_reason_that_it_takes(
    lotus_here: LotusHere, command: str, codes: set[str]
) -> None:
    shown = lotus_here(command, "--help").out
    assert {code for code in codes if code not in re.sub(r"[│\s]+", " ", shown)} == set()


@pytest.mark.parametrize(
    "arguments", [("refuse", ID), ("hold", ID), ("extend", ID, "--reason", "complexity")]
)
def test_a_reason_or_a_date_that_is_missing_is_asked_for(
    service: Service, lotus_here: LotusHere, arguments: tuple[str, ...]
) -> None:
    seen = service()
    assert lotus_here(*arguments).code == 2
    assert seen == []


def test_status_says_who_is_waited_for_and_what_became_of_the_deadline(
    service: Service, lotus_here: LotusHere
) -> None:
    service(httpx2.Response(200, json=HELD))
    lines = [line.strip() for line in lotus_here("status", ID).out.splitlines()]
    assert lines == [
        f"{ID}  on_hold",
        "waits for: the end of the hold: lotus resume, or lotus refuse (decider, until "
        "2026-02-10, LATE)",
        "held: identity_question until 2026-02-10",
        "due: 2026-02-28  clock stopped",
        "extended: from 2026-03-02, complexity, person told on 2026-02-02",
        "clock stopped: from 2026-02-03 and still is",
        "2026-02-03: hold (identity_question) by key_" + "1" * 32 + ": asked by [letter]",
    ]


def test_the_list_says_who_is_waited_for(service: Service, lotus_here: LotusHere) -> None:
    service(httpx2.Response(200, json={"items": [HELD], "next_cursor": None}))
    assert "decider" in lotus_here("status").out
