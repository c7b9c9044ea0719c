"""Requests that come at the same time are taken in by one transaction, and answered as if each had
come alone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.audit.tables import PendingEntry
from app.certificates.tables import Certificate
from app.erasure import intake, receiving
from app.erasure.tables import ErasureItem, ErasureRequest, RequestSubject
from app.http.tables import IdempotencyKey
from app.ids import new_id
from app.keys import changing
from app.keys.tables import ApiKey
from app.registry.tables import SampleSubject
from app.runtime import Runtime
from app.webhooks.tables import WebhookDelivery
from tests.conftest import MakeKey
from tests.erasure.conftest import URL
from tests.erasure.crowd import (
    SECONDS,
    Crowd,
    call,
    crowd,
    of_another_controller,
    statuses,
    together,
)
from tests.erasure.factories import submission

__all__ = ["crowd", "together"]


def rows(runtime: Runtime, what: Any) -> int:
    with runtime.database.read() as session:
        return session.scalars(select(func.count()).select_from(what)).one()


def entries_of(runtime: Runtime, answer: Response) -> list[str]:
    with runtime.database.read() as session:
        return list(
            session.scalars(
                select(PendingEntry.kind)
                .join(ErasureRequest, ErasureRequest.id == PendingEntry.request_id)
                .where(ErasureRequest.external_id == answer.json()["external_id"])
                .order_by(PendingEntry.id)
            )
        )


def test_what_comes_together_is_stored_together_and_answered_one_by_one(
    crowd: Crowd, runtime: Runtime, together: list[int]
) -> None:
    names = ["ada", "ben", "cleo", "nobody", "ada"]
    calls = [call(name, external_id=f"c-{place}") for place, name in enumerate(names)]
    calls[2:2] = [
        call("ben", models=[f"mdl_{new_id().hex}"]),
        {"json": submission("ben") | {"subjects": [{"type": "passport", "value": "x"}]}},
        call("ben", external_id="ben@example.org"),
    ]
    answers = crowd.send(calls)
    assert statuses(answers) == [202, 202, 422, 422, 422, 202, 202, 202]
    assert together == [1, 8]  # the opener, and all of them
    codes = [answer.json()["type"].rpartition(":")[2] for answer in answers[2:5]]
    assert codes == ["unknown-model", "identity-type-not-indexed", "external-id-names-person"]
    good = [answer for answer in answers if answer.status_code == 202]
    assert [answer.json()["external_id"] for answer in good] == [f"c-{n}" for n in range(5)]
    found = [[item["forget_count"] for item in answer.json()["items"]] for answer in good]
    assert found == [[4], [3], [2], [], [4]]
    assert [answer.json()["state"] for answer in good] == ["scheduled"] * 3 + [
        "completed",
        "scheduled",
    ]
    for answer in good:
        shown = crowd.api.get(answer.headers["Location"])
        assert shown.status_code == 200 and shown.json() == answer.json()
    assert entries_of(runtime, good[0]) == [
        "erasure:request:received",
        "erasure:item:moved",
        "erasure:request:moved",
    ]
    assert entries_of(runtime, good[3])[:2] == [
        "erasure:request:received",
        "erasure:request:moved",
    ]
    assert rows(runtime, ErasureRequest) == rows(runtime, RequestSubject) == 6
    assert (rows(runtime, ErasureItem), rows(runtime, Certificate)) == (5, 1)


def test_repeats_among_them_are_repeats(crowd: Crowd, runtime: Runtime) -> None:
    answers = crowd.send(
        [
            call("ada", external_id="c-1"),
            call("ada", external_id="c-1"),
            call("ben", external_id="c-1"),
            call("ben", key="k-1"),
            call("ben", key="k-1"),
            call("cleo", key="k-1"),
            call("cleo"),
        ]
    )
    assert statuses(answers) == [202, 202, 409, 202, 202, 422, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[3].json() == answers[4].json()
    assert rows(runtime, ErasureRequest) == 1 + 3
    assert rows(runtime, IdempotencyKey) == 1


def test_repeats_of_earlier_calls_are_repeats(
    crowd: Crowd, runtime: Runtime, together: list[int]
) -> None:
    before = [
        crowd.api.post(URL, **call("ada", external_id="c-1")),
        crowd.api.post(URL, **call("ben", key="k-1")),
    ]
    assert statuses(before) == [202, 202]
    answers = crowd.send(
        [
            call("ada", external_id="c-1", key="k-2"),
            call("ben", external_id="c-1"),
            call("ben", key="k-1"),
            call("cleo", key="k-1"),
            call("cleo", key="k-3"),
        ]
    )
    assert statuses(answers) == [202, 409, 202, 422, 202]
    assert [answers[0].json()["id"], answers[2].json()["id"]] == [
        answer.json()["id"] for answer in before
    ]
    assert together[:4] == [1, 1, 1, 2]  # of those that may be new, the first of each name
    # A key that stood for a repeat stands for it from now on, and one that failed for nothing.
    assert crowd.api.post(URL, **call("ada", external_id="c-1", key="k-2")).json() == (
        answers[0].json()
    )
    assert rows(runtime, IdempotencyKey) == 3


def test_a_call_that_failed_keeps_no_key(crowd: Crowd, runtime: Runtime) -> None:
    unknown = {"subjects": [{"type": "passport", "value": "x"}]}
    bad = call("ada", key="k-1")
    bad["json"] |= unknown
    answers = crowd.send([bad, call("ben", key="k-2")])
    assert statuses(answers) == [422, 202]
    assert rows(runtime, IdempotencyKey) == 1
    assert crowd.api.post(URL, **call("cleo", key="k-1")).status_code == 202


def test_a_key_that_is_revoked_meanwhile_stops_its_own_call_alone(
    crowd: Crowd, runtime: Runtime, make_key: MakeKey
) -> None:
    leaked = make_key()
    crowd.api.get(URL, headers={"Authorization": f"Bearer {leaked}"})

    def revoke(session: Session) -> None:
        key = session.scalars(select(ApiKey).order_by(ApiKey.id.desc())).first()
        assert key is not None
        changing.revoke(
            session,
            key.id,
            controller=key.controller_id,
            actor="operator",
            now=datetime.now(UTC),
            last=True,
        )

    answers = crowd.send([call("ada"), call("ben", bearer=leaked), call("cleo")], revoke)
    assert statuses(answers) == [202, 401, 202]
    assert rows(runtime, ErasureRequest) == 3


def test_calls_of_two_controllers_stay_apart(
    crowd: Crowd, runtime: Runtime, make_key: MakeKey, together: list[int]
) -> None:
    theirs = of_another_controller(crowd, make_key)
    with ThreadPoolExecutor(2) as threads:
        both = [
            threads.submit(crowd.api.post, URL, **one)
            for one in (call("ada", external_id="c"), call("ada", external_id="c", bearer=theirs))
        ]
        mine, other = (one.result(SECONDS) for one in both)
    assert statuses([mine, other]) == [202, 202]
    assert [answer.json()["items"][0]["forget_count"] for answer in (mine, other)] == [4, 7]
    assert together == [1, 1]


def test_a_fault_of_ours_in_one_fails_no_other(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = receiving.submission_of

    def faulty(body: Any, *rest: Any, **more: Any) -> Any:
        if body.external_id == "c-2":
            raise RuntimeError("jane.doe@secret.example")
        return whole(body, *rest, **more)

    monkeypatch.setattr(receiving, "submission_of", faulty)
    answers = crowd.send([call("ada", external_id=f"c-{place}") for place in range(4)])
    assert statuses(answers) == [202, 202, 500, 202]
    assert "jane" not in answers[2].text
    assert rows(runtime, ErasureRequest) == 4


def test_without_the_database_each_is_told_and_nothing_is_stored(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, asked = intake.submit_all, list[int]()

    def gone(session: Any, keyring: Any, controller: Any, wanted: Any) -> Any:
        found = whole(session, keyring, controller, wanted)
        asked.append(len(wanted))
        if len(asked) > 1:
            raise OperationalError("INSERT", None, Exception("gone"))
        return found

    monkeypatch.setattr(intake, "submit_all", gone)
    calls = [call("ada", external_id=f"c-{place}", key=f"k-{place}") for place in range(3)]
    answers = crowd.send(calls)
    assert statuses(answers) == [503] * 3 and asked == [1, 3]
    assert rows(runtime, ErasureRequest) == 1 and rows(runtime, IdempotencyKey) == 0
    monkeypatch.undo()
    assert statuses(crowd.send(calls)) == [202] * 3


def test_a_commit_that_fails_is_nobody_s_success(
    crowd: Crowd, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = crowd.api.app.state.runtime.database.engine  # type: ignore[attr-defined]
    commits = [0]

    def fail(connection: Any) -> None:
        commits[0] += 1
        if commits[0] > 1:
            raise OperationalError("COMMIT", None, Exception("disk full"))

    event.listen(engine, "commit", fail)
    try:
        answers = crowd.send([call("ada"), call("ben")])
    finally:
        event.remove(engine, "commit", fail)
    assert statuses(answers) == [503, 503]
    assert rows(runtime, ErasureRequest) == 1


def test_receivers_hear_of_each_of_them(crowd: Crowd, runtime: Runtime) -> None:
    hooks = "/api/v1/webhooks"
    hook = {"url": "https://hooks.example.org/all", "events": ["erasure_request.scheduled"]}
    assert crowd.api.post(hooks, json=hook).status_code == 201
    own = "https://hooks.example.org/own"
    answers = crowd.send(
        [
            call("ada", external_id="c-1"),
            call("ben", external_id="c-2", callback_urls=[own]),
            call("cleo", external_id="c-3", callback_urls=["https://elsewhere.example.org/"]),
            call("nobody", external_id="c-4"),
        ]
    )
    assert statuses(answers) == [202, 202, 422, 202]
    with runtime.database.read() as session:
        told = session.execute(
            select(ErasureRequest.external_id, WebhookDelivery.event, WebhookDelivery.callback_id)
            .join(ErasureRequest, ErasureRequest.id == WebhookDelivery.request_id)
            .where(ErasureRequest.external_id.is_not(None))
            .order_by(WebhookDelivery.id)
        ).all()
    scheduled = "erasure_request.scheduled"
    assert [(name, what, own is not None) for name, what, own in told] == [
        ("c-1", scheduled, False),
        ("c-2", scheduled, False),
        ("c-2", scheduled, True),
    ]


def test_a_row_that_shows_a_person_twice_counts_once(
    crowd: Crowd, runtime: Runtime, together: list[int]
) -> None:
    with runtime.database.write() as session:
        links = session.scalars(select(SampleSubject).order_by(SampleSubject.sample_id)).all()
        of_ada, of_ben = links[0], links[4]
        assert of_ada.subject_ref != of_ben.subject_ref
        session.add(
            SampleSubject(
                sample_id=of_ada.sample_id,
                subject_ref=of_ben.subject_ref,
                identity_type=of_ben.identity_type,
                key_id=of_ben.key_id,
            )
        )
    answers = crowd.send([call("ada", "ben"), call("ada"), call("ben"), call("ada", "nobody")])
    assert statuses(answers) == [202] * 4
    counts = [answer.json()["items"][0]["forget_count"] for answer in answers]
    assert counts == [7, 4, 4, 4]
    assert together == [1, 4]
