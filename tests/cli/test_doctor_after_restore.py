"""`lotus doctor --after-restore`: what the backup does not know, and who says go."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from app.audit.tables import LogState, RewindReason
from app.restore import mark as marks
from app.restore import service as restore
from app.restore.tables import PauseReason
from app.runtime import Runtime
from tests.cli.doctoring import Doctor, bad, cases, doctor, findings, healthy, model
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand

__all__ = ["cases", "doctor", "healthy", "model"]


@pytest.fixture
def restored(healthy: Runtime) -> Runtime:
    """The mark knows of three entries more, and a file is stored that the database lost."""
    root = healthy.artifacts.root
    mark = marks.read(root)
    assert mark is not None
    marks.write(root, replace(mark, size=mark.size + 3))
    healthy.artifacts.put(b"published after the backup")
    now = datetime.now(UTC)
    assert restore.look(healthy.database, root, now=now) is PauseReason.DATABASE_OLDER
    return healthy


def test_after_a_restore_what_the_backup_does_not_know_is_listed(
    doctor: Doctor, restored: Runtime, cases: Cases
) -> None:
    cases.submit("ben")  # accepted while paused: the gap begins before it
    result = doctor("--after-restore", "--json")
    assert result.code == 1
    (lost,) = findings(result, "requests")
    assert lost["says"].startswith("3 audit entries missing, from ")
    assert "send those since" in lost["action"]
    with restored.database.read() as session:
        last = session.scalar(text("SELECT max(created_at) FROM audit_entries"))
    assert f"from {str(last)[:19]} UTC" in lost["says"]
    stray = [each["says"] for each in findings(result, "artifacts")]
    assert any("no row refers to them" in says for says in stray)


def test_bytes_that_are_gone_are_told_by_what_they_were_for(
    doctor: Doctor, restored: Runtime
) -> None:
    for sha256, _ in list(restored.artifacts.stored()):
        restored.artifacts.destroy(sha256)
    result = doctor("--after-restore", "--json")
    assert ("versions", "problem") in bad(result)
    assert ("datasets", "problem") in bad(result)


def test_a_person_says_go_and_the_log_says_who(doctor: Doctor, restored: Runtime) -> None:
    now = datetime.now(UTC)
    hand = Hand.hire(restored, now)
    assert hand.claim(now) is None
    gone_on = doctor("--after-restore", "--resume")
    assert gone_on.code == 0
    assert "resumed: runs begin again" in gone_on.out
    assert hand.claim(now) is not None
    with restored.database.read() as session:
        bodies = session.scalars(
            text("SELECT body FROM audit_pending WHERE kind = 'restore:service:resumed'")
        ).all()
    assert len(bodies) == 1 and b'"actor":"operator"' in bytes(bodies[0])
    assert doctor("--json").code == 0
    again = doctor("--after-restore", "--resume", "--json")
    assert again.code == 0 and again.document["resumed"] is False


def test_an_operator_pauses_before_the_first_start_after_a_restore(
    doctor: Doctor, healthy: Runtime
) -> None:
    paused = doctor("--after-restore", "--pause", "--json")
    assert paused.code == 0
    assert "a person paused it" in findings(paused, "restore")[0]["says"]
    now = datetime.now(UTC)
    assert Hand.hire(healthy, now).claim(now) is None


def test_a_log_that_is_no_longer_signed_is_listed_and_resuming_does_not_sign_it(
    doctor: Doctor, healthy: Runtime
) -> None:
    with healthy.database.write() as session:
        state = session.get_one(LogState, 1)
        state.rewound_at, state.rewound_reason = datetime.now(UTC), RewindReason.SMALLER
    doctor("--after-restore", "--pause")
    listed = doctor("--after-restore", "--resume", "--json")
    (found,) = findings(listed, "sealing")
    assert found["level"] == "problem" and "lotus audit accept-rewind" in found["action"]
    with healthy.database.read() as session:
        assert not restore.is_paused(session)
        assert session.get_one(LogState, 1).rewound_at is not None
