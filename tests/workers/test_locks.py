"""What a registration waits for on PostgreSQL, and what does not wait for it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from app.keys.tables import Controller
from app.registry import checks
from app.registry.tables import ModelVersion, VersionState
from tests.registry.content import weights
from tests.registry.front import Front


def test_a_model_becomes_ready_only_when_no_request_is_being_accepted(front: Front) -> None:
    if front.runtime.database.is_sqlite:
        pytest.skip("SQLite lets one writer in at a time")
    answer = front.post_model(front.ready_dataset(), front.upload(weights()))
    database = front.runtime.database
    now = datetime.now(UTC)
    with database.write() as session:
        check = checks.take_version(session, now=now, lease=timedelta(0))
    assert check is not None
    with database.write() as accepting:
        accepting.execute(
            select(Controller.id)
            .where(Controller.id == check.model.controller_id)
            .with_for_update(read=True)
        )
        with pytest.raises(OperationalError, match="lock timeout"), database.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            checks.end_version_ready(session, check, now=now)
    front.check()

    assert front.get(f"/models/{answer.json()['id']}")["state"] == "ready"


def test_a_version_that_is_being_taken_can_be_referred_to(front: Front) -> None:
    if front.runtime.database.is_sqlite:
        pytest.skip("SQLite lets one writer in at a time")
    now = datetime.now(UTC)
    front.post_model(front.ready_dataset(), front.upload(weights()))
    with front.runtime.database.write() as taking:
        check = checks.take_version(taking, now=now, lease=timedelta(0))
        assert check is not None
        with front.runtime.database.write() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            session.add(
                ModelVersion(
                    model_id=check.model.id,
                    number=2,
                    parent_id=check.version.id,
                    lineage_id=check.version.id,
                    artifact_sha256=check.version.artifact_sha256,
                    state=VersionState.CHECKING,
                    created_at=now,
                )
            )
