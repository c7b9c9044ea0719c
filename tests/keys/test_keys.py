from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.keys import service
from app.keys.scopes import Scope
from app.keys.tables import ApiKey
from app.runtime import Runtime

NOW = datetime(2026, 3, 2, tzinfo=UTC)
LIST = "/api/v1/erasure-requests"


def made(runtime: Runtime, **fields: object) -> str:
    with runtime.database.write() as session:
        owner = service.ensure_default_controller(session, NOW)
        _, plaintext = service.create_key(
            session,
            runtime.keyring,
            controller=owner.id,
            name="a key",
            scopes=[Scope.REQUESTS_READ],
            actor="operator",
            now=NOW,
            **fields,  # type: ignore[arg-type]
        )
    return plaintext


def test_a_key_has_a_prefix_forty_random_characters_and_a_checksum(runtime: Runtime) -> None:
    key = made(runtime)
    assert key.startswith("lot_") and len(key) == 4 + 40 + 6
    assert service.well_formed(key)
    assert made(runtime) != key


def test_a_mistyped_key_is_known_by_its_checksum(runtime: Runtime) -> None:
    key = made(runtime)
    for position in range(len(key)):
        other = "x" if key[position] != "x" else "y"
        assert not service.well_formed(key[:position] + other + key[position + 1 :])
    assert not service.well_formed(key + "0")
    assert not service.well_formed("")


def test_the_key_itself_is_not_stored(runtime: Runtime) -> None:
    key = made(runtime)
    with runtime.database.read() as session:
        row = session.scalars(select(ApiKey)).one()
    assert row.prefix == key[:12]
    assert key[12:].encode() not in row.digest
    assert key not in repr(vars(row))


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
def test_an_expired_or_revoked_key_opens_nothing(
    anonymous: TestClient, runtime: Runtime, column: str
) -> None:
    key = made(runtime)
    headers = {"Authorization": f"Bearer {key}"}
    assert anonymous.get(LIST, headers=headers).status_code == 200
    with runtime.database.write() as session:
        setattr(session.scalars(select(ApiKey)).one(), column, datetime.now(UTC))
    assert anonymous.get(LIST, headers=headers).status_code == 401


def test_the_last_use_is_written_at_most_once_a_minute(
    anonymous: TestClient, runtime: Runtime
) -> None:
    headers = {"Authorization": f"Bearer {made(runtime)}"}

    def used() -> datetime | None:
        with runtime.database.read() as session:
            return session.scalars(select(ApiKey.last_used_at)).one()

    assert used() is None
    anonymous.get(LIST, headers=headers)
    first = used()
    assert first is not None
    anonymous.get(LIST, headers=headers)
    assert used() == first
    with runtime.database.write() as session:
        session.scalars(select(ApiKey)).one().last_used_at = first - timedelta(minutes=2)
    anonymous.get(LIST, headers=headers)
    later = used()
    assert later is not None and later > first
