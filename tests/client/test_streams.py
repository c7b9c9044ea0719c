"""Files, exports and streams of events: what the client does when they break."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from client import BrokenOff, LotusProblem, LotusUnreachable, TookTooLong, streams, transport
from tests.client.service import PROBLEM, REQUEST, answering

SUMMARY = {"end": True, "complete": True, "rows": 2}


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(transport, "pause", taken.append)
    monkeypatch.setattr(streams, "pause", taken.append)
    return taken


def lines(*documents: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(200, text="".join(json.dumps(one) + "\n" for one in documents))


def row(number: int, status: str = "accepted") -> dict[str, Any]:
    return {"row": number, "status": status, "id": f"req_{number}"}


class Broken(httpx2.SyncByteStream):
    """An answer whose connection breaks after these bytes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __iter__(self) -> Iterator[bytes]:
        yield self.text.encode()
        raise httpx2.RemoteProtocolError("broken off")


def broken(*documents: dict[str, Any]) -> httpx2.Response:
    text = "".join(json.dumps(one) + "\n" for one in documents)
    return httpx2.Response(200, stream=Broken(text))


def test_a_file_is_sent_as_what_its_name_says(tmp_path: Path) -> None:
    table, rows = tmp_path / "a.CSV", tmp_path / "a.ndjson"
    table.write_text("external_id\n")
    rows.write_text("{}\n")
    for file, media_type in ((table, "text/csv"), (rows, "application/x-ndjson")):
        lotus, seen = answering(lines(row(1), SUMMARY))
        assert [one.id for one in lotus.submit_file(file)] == ["req_1"]
        assert seen[0].headers["content-type"] == media_type
        assert seen[0].content == file.read_bytes()
        assert seen[0].url.path == "/api/v1/erasure-requests/bulk"


def test_a_file_whose_answer_broke_is_sent_again_and_each_row_is_told_once(
    pauses: list[float],
) -> None:
    lotus, seen = answering(
        broken(row(1)),
        lines(row(1, "repeated"), row(2, "repeated")),  # ends, and says nothing of its end
        lines(row(1, "repeated"), row(2, "repeated"), SUMMARY),
    )
    requests = [{"external_id": "c-1"}, {"external_id": "c-2"}]
    found = [(one.row, one.status) for one in lotus.submit_many(requests)]
    assert found == [(1, "accepted"), (2, "repeated")]
    assert len(seen) == 3 and len({request.content for request in seen}) == 1
    assert pauses == [2.0, 4.0]


def test_a_file_that_the_service_could_not_finish_is_broken_off() -> None:
    unread = {**SUMMARY, "complete": False, "problem": {"title": "Too many rows", "status": 413}}
    lotus, seen = answering(lines(row(1), unread))
    answers = lotus.submit_many([{}])
    assert next(answers).row == 1
    with pytest.raises(BrokenOff, match="Too many rows") as caught:
        next(answers)
    assert caught.value.problem == unread["problem"]
    assert len(seen) == 1


def test_a_file_is_tried_again_when_the_service_was_away() -> None:
    away = {**SUMMARY, "complete": False, "rows": 0, "problem": {"title": "Away", "status": 503}}
    busy = httpx2.Response(503, json={**PROBLEM, "status": 503})
    lotus, _ = answering(busy, lines(away), lines(row(1), SUMMARY))
    assert [one.row for one in lotus.submit_many([{}])] == [1]


def test_a_file_that_is_refused_is_a_problem_and_not_sent_again() -> None:
    lotus, seen = answering(httpx2.Response(422, json=PROBLEM))
    with pytest.raises(LotusProblem):
        list(lotus.submit_many([{}]))
    assert len(seen) == 1


def test_a_file_is_given_up_after_three_attempts() -> None:
    lotus, seen = answering(*[httpx2.ConnectError("refused")] * 3)
    with pytest.raises(LotusUnreachable):
        list(lotus.submit_many([{}]))
    assert len(seen) == 3


def test_an_export_without_its_end_is_broken_off() -> None:
    for cut in (lines(REQUEST), broken(REQUEST)):
        lotus, _ = answering(cut)
        found = lotus.export_requests()
        assert next(found).id == REQUEST["id"]
        with pytest.raises(BrokenOff):
            next(found)
    lotus, seen = answering(lines(REQUEST, {"end": True, "rows": 1}))
    assert [one.id for one in lotus.export_requests(state=["failed", "running"])] == [REQUEST["id"]]
    assert seen[0].url.params.multi_items() == [
        ("state", "failed"),
        ("state", "running"),
        ("format", "ndjson"),
    ]


@pytest.mark.parametrize(
    ("form", "text", "rows"),
    [
        ("csv", "id,state\r\nreq_1,failed\r\n#end,1\r\n", 1),
        ("ndjson", '{"id": "req_1"}\n{"end":true,"rows":1}\n', 1),
        ("csv", "id,state\r\nreq_1,failed\r\n", None),
        ("csv", "id,state\r\nreq_1,failed\r\n#end,", None),
        ("ndjson", '{"id": "req_1"}\n', None),
        ("ndjson", '{"id": "req_1"}\n{"end":tr', None),
        ("csv", "", None),
    ],
)
def test_a_file_is_written_only_if_the_export_is_whole(
    tmp_path: Path, form: Any, text: str, rows: int | None
) -> None:
    target = tmp_path / "out"
    target.write_text("what was there before")
    lotus, _ = answering(httpx2.Response(200, text=text))
    if rows is None:
        with pytest.raises(BrokenOff):
            lotus.export_file(target, form)
        assert target.read_text() == "what was there before"
    else:
        assert lotus.export_file(target, form) == rows
        assert target.read_bytes() == text.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def event(state: str, identity: str) -> str:
    return f"id: {identity}\nevent: request\ndata: {json.dumps({**REQUEST, 'state': state})}\n\n"


END = "event: end\ndata: {}\n\n"


def stream(text: str) -> httpx2.Response:
    return httpx2.Response(200, text=text)


def test_a_stream_that_breaks_is_taken_up_after_its_last_event() -> None:
    lotus, seen = answering(
        httpx2.Response(200, stream=Broken("retry: 3000\n\n:\n\n" + event("scheduled", "m1"))),
        httpx2.ConnectError("restarting"),
        stream(event("running", "m2")),  # an hour is over
        stream(event("cancelled", "m3") + END),
    )
    assert [one.state for one in lotus.follow_request("req_1")] == [
        "scheduled",
        "running",
        "cancelled",
    ]
    assert [request.headers.get("last-event-id") for request in seen] == [None, "m1", "m1", "m2"]


def test_a_stream_of_what_has_ended_already_ends() -> None:
    lotus, _ = answering(stream(event("cancelled", "m3")), httpx2.Response(204))
    assert [one.state for one in lotus.follow_request("req_1")] == ["cancelled"]


def test_a_stream_gives_up_after_three_failures_in_a_row() -> None:
    lotus, seen = answering(*[httpx2.ConnectError("refused")] * 3)
    with pytest.raises(LotusUnreachable):
        list(lotus.follow_request("req_1"))
    assert len(seen) == 3


def test_a_stream_of_nothing_is_a_problem_at_once() -> None:
    lotus, seen = answering(httpx2.Response(404, json={**PROBLEM, "status": 404}))
    with pytest.raises(LotusProblem):
        list(lotus.follow_request("req_1"))
    assert len(seen) == 1


def test_following_takes_no_longer_than_it_may() -> None:
    lotus, _ = answering(*[stream(event("running", "m1"))] * 2)
    followed = lotus.follow_request("req_1", timeout=0.05)
    assert next(followed).state == "running"

    time.sleep(0.1)
    with pytest.raises(TookTooLong):
        list(followed)
