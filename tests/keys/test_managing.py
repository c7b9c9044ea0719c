"""A controller's keys over HTTP: made, listed, rotated, revoked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.config import Settings
from app.ids import new_id
from app.keys import service
from app.keys.scopes import Scope
from app.keys.tables import ApiKey
from app.main import create_app
from app.runtime import Runtime
from tests.keys.conftest import PROBLEM, Holder, Logged, MakeHolder, bearer, soon

READ = Scope.REQUESTS_READ
ADMIN = Scope.KEYS_ADMIN


def test_a_key_is_made_shown_once_and_opens_what_it_was_given(admin: Holder) -> None:
    answer = admin.make(READ, name="dashboard")
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    assert answer.headers["Location"] == f"/api/v1/keys/{made['id']}"
    assert admin.opens(made["key"])
    assert made["key"].startswith(made["prefix"])
    listed = admin.named("dashboard")
    assert listed["scopes"] == [READ] and listed["valid"]
    assert "key" not in listed


def test_a_repeat_with_the_same_idempotency_key_makes_no_second_key_and_shows_none(
    admin: Holder,
) -> None:
    admin.headers["Idempotency-Key"] = "once"
    first = admin.made(READ)
    again = admin.make(READ)
    assert again.status_code == 409
    assert again.json()["type"] == PROBLEM + "key-shown-before"
    assert again.headers["Location"] == f"/api/v1/keys/{first['id']}"
    assert first["key"] not in again.text + str(again.headers)
    assert admin.make(ADMIN).json()["type"] == PROBLEM + "idempotency-key-reused"
    assert [one["name"] for one in admin.listed()] == ["made", "test"]


def test_the_key_itself_is_nowhere_in_the_database(admin: Holder, runtime: Runtime) -> None:
    admin.headers["Idempotency-Key"] = "once"
    random_part = admin.made(READ)["key"][12:]
    with runtime.database.read() as session:
        for name in ("api_keys", "idempotency_keys", "audit_pending"):
            rows = session.connection().exec_driver_sql(f"SELECT * FROM {name}").all()
            assert rows
            assert random_part not in repr(rows)
            assert random_part.encode() not in b"".join(
                bytes(cell) for row in rows for cell in row if isinstance(cell, bytes | memoryview)
            )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "body.expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+12:00"}, "body.expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "body.expires_at"),
        ({"scopes": []}, "body.scopes"),
        ({"scopes": ["root"]}, "body.scopes.0"),
        ({"name": ""}, "body.name"),
        ({"name": "a\u202eb"}, "body.name"),
        ({"name": "a\nb"}, "body.name"),
        ({"controller": "other"}, "body"),
        ({"scopes": [READ] * 50}, "body.scopes"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_by_its_field(
    admin: Holder, fields: dict[str, object], field: str
) -> None:
    body = {"name": "made", "scopes": [READ], **fields}
    answer = admin.client.post("/api/v1/keys", json=body, headers=admin.headers)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_key_ends_at_its_expiry(admin: Holder, runtime: Runtime) -> None:
    made = admin.made(READ, expires_at=soon(hours=1))
    assert admin.opens(made["key"])
    with runtime.database.write() as session:
        session.scalars(
            select(ApiKey).where(ApiKey.name == "made")
        ).one().expires_at = datetime.now(UTC)
    assert not admin.opens(made["key"])
    assert not admin.named("made")["valid"]


def test_a_revoked_key_opens_nothing_in_another_process_either(
    admin: Holder, settings: Settings, logged: Logged
) -> None:
    made = admin.made(READ)
    with TestClient(create_app(settings)) as elsewhere:
        other = Holder(elsewhere, made["key"])
        assert other.opens(made["key"])
        assert admin.revoke(made["id"]).status_code == 200
        assert not other.opens(made["key"])
    assert not admin.opens(made["key"])
    assert [facts["key"] for facts in logged("keys:key:revoked")] == [made["id"]]


def test_to_revoke_twice_changes_nothing(admin: Holder, logged: Logged) -> None:
    made = admin.made(READ)
    first = admin.revoke(made["id"]).json()
    assert admin.revoke(made["id"]).json() == first
    assert len(logged("keys:key:revoked")) == 1


def test_the_last_key_that_can_manage_keys_stays(admin: Holder) -> None:
    own = admin.named("test")["id"]
    refused = admin.revoke(own)
    assert refused.status_code == 409
    assert refused.json()["type"] == PROBLEM + "last-admin-key"
    # Neither one that is no longer valid nor one without the scope takes its place.
    admin.revoke(admin.made(ADMIN, name="ended")["id"])
    admin.made(READ)
    assert admin.revoke(own).status_code == 409
    other = admin.made(ADMIN, name="other")
    assert admin.revoke(own).status_code == 200
    assert Holder(admin.client, other["key"]).revoke(other["id"]).status_code == 409


def test_of_two_admins_who_revoke_each_other_at_once_one_stays(admin: Holder) -> None:
    other = admin.made(ADMIN, name="other")
    pairs = [
        (admin, other["id"]),
        (Holder(admin.client, other["key"]), admin.named("test")["id"]),
    ]
    with ThreadPoolExecutor() as pool:
        codes = list(pool.map(lambda pair: pair[0].revoke(pair[1]).status_code, pairs))
    # The slower one is refused as the last, or has no valid key any more.
    assert sorted(codes) in ([200, 401], [200, 409])


def test_a_rotated_key_and_its_successor_are_both_valid_for_a_day(
    admin: Holder, logged: Logged
) -> None:
    old = admin.made(READ, name="pipeline")
    answer = admin.rotate(old["id"])
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    new = answer.json()
    assert (new["name"], new["scopes"], new["succeeds"]) == ("pipeline", [READ], old["id"])
    assert new["expires_at"] is None
    assert admin.opens(old["key"]) and admin.opens(new["key"])
    (ends,) = [one["expires_at"] for one in admin.listed() if one["id"] == old["id"]]
    left = datetime.fromisoformat(ends) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    (facts,) = logged("keys:key:rotated")
    assert (facts["key"], facts["successor"]) == (old["id"], new["id"])
    assert datetime.fromisoformat(facts["expires_at"]) == datetime.fromisoformat(ends)


def test_without_an_overlap_the_old_key_ends_at_once(admin: Holder) -> None:
    old = admin.made(READ)
    new = admin.rotate(old["id"], overlap_seconds=0).json()
    assert not admin.opens(old["key"]) and admin.opens(new["key"])


def test_a_rotation_never_makes_the_old_key_live_longer(admin: Holder) -> None:
    old = admin.made(READ, expires_at=soon(hours=1))
    admin.rotate(old["id"], overlap_seconds=30 * 86_400)
    (ends,) = [one["expires_at"] for one in admin.listed() if one["id"] == old["id"]]
    assert ends == old["expires_at"]


def test_a_successor_lives_as_long_as_the_key_before_it_was_given(admin: Holder) -> None:
    old = admin.made(READ, expires_at=soon(days=90))
    new = admin.rotate(old["id"]).json()
    assert new["expires_at"] > old["expires_at"]
    life = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert timedelta(days=89) < life < timedelta(days=91)
    chosen = soon(days=5)
    admin.revoke(old["id"])
    newer = admin.rotate(new["id"], expires_at=chosen).json()
    assert datetime.fromisoformat(newer["expires_at"]) == datetime.fromisoformat(chosen)


def test_no_more_than_two_of_a_chain_are_valid_at_a_time(admin: Holder) -> None:
    old = admin.made(READ)
    new = admin.rotate(old["id"]).json()
    for key in (old["id"], new["id"]):
        refused = admin.rotate(key)
        assert refused.status_code == 409
        assert refused.json()["type"] == PROBLEM + "rotation-under-way"
    admin.revoke(old["id"])
    assert admin.rotate(new["id"]).status_code == 201
    assert admin.rotate(old["id"]).json()["type"] == PROBLEM + "key-not-valid"


@pytest.mark.parametrize("overlap", [-1, 30 * 86_400 + 1, "1", 1.5, True])
def test_an_overlap_beyond_its_bounds_is_refused(admin: Holder, overlap: object) -> None:
    old = admin.made(READ)
    answer = admin.rotate(old["id"], overlap_seconds=overlap)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.overlap_seconds"


def test_keys_of_one_chain_have_one_holder(
    admin: Holder, holder: MakeHolder, runtime: Runtime
) -> None:
    admin_id = admin.named("test")["id"]
    first = admin.made(READ)
    second = admin.rotate(first["id"], overlap_seconds=0).json()
    third = admin.rotate(second["id"]).json()
    other = admin.made(READ)
    with runtime.database.write() as session:
        owner = session.scalars(select(ApiKey.controller_id)).first()
        assert owner is not None
        apart, _ = service.create_key(
            session,
            runtime.keyring,
            controller=owner,
            name="made by the operator",
            scopes=[Scope.REQUESTS_READ],
            actor="operator",
            now=datetime.now(UTC),
        )
        operators = f"key_{apart.id.hex}"
    with runtime.database.read() as session:
        ids = {f"key_{key.hex}": key for key in session.scalars(select(ApiKey.id))}

        def same(a: str, b: str) -> bool:
            return service.same_holder(session, ids[a], ids[b])

        assert same(first["id"], first["id"])
        assert same(first["id"], third["id"]) and same(third["id"], second["id"])
        assert same(admin_id, third["id"]), "who makes a key is shown it"
        assert same(first["id"], other["id"]), "so two that one key made may be in one hand"
        assert (first["made_by"], second["made_by"]) == (admin_id, admin_id)
        assert not same(first["id"], operators) and not same(operators, third["id"])
        assert not service.same_holder(session, ids[first["id"]], new_id())


def test_what_happens_to_keys_is_in_the_controller_s_own_log_alone(
    admin: Holder, holder: MakeHolder
) -> None:
    made = admin.made(READ)
    admin.rotate(made["id"])
    admin.revoke(made["id"])
    own = admin.client.get("/api/v1/audit/entries", headers=admin.headers).json()["items"]
    assert {entry["kind"] for entry in own} == {
        "keys:key:created",
        "keys:key:rotated",
        "keys:key:revoked",
        "keys:key:used",
    }
    other = holder(controller="other")
    seen = other.client.get("/api/v1/audit/entries", headers=other.headers).text
    assert made["id"] not in seen


def test_the_first_use_of_each_day_is_an_entry_and_no_other(
    admin: Holder, runtime: Runtime, logged: Logged
) -> None:
    made = admin.made(READ)

    def uses() -> int:
        return [facts["key"] for facts in logged("keys:key:used")].count(made["id"])

    def last_used(ago: timedelta) -> None:
        with runtime.database.write() as session:
            row = session.scalars(select(ApiKey).where(ApiKey.name == "made")).one()
            row.last_used_at = datetime.now(UTC) - ago

    assert uses() == 0
    admin.client.get("/api/v1/runs", headers=bearer(made["key"]))
    admin.client.get("/api/v1/runs", headers=bearer(made["key"]))
    assert uses() == 1
    last_used(timedelta(days=1))
    for _ in range(2):
        admin.client.get("/api/v1/runs", headers=bearer(made["key"]))
    assert uses() == 2
