"""`lotus doctor`, as an operator runs it, over a service that was given one ailment at a time."""

import base64
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from app.audit import sequencer
from app.audit.tables import LogState, RewindReason
from app.config import Settings
from app.doctor.broker import broker
from app.doctor.findings import Level
from app.erasure import leases
from app.erasure.decision_tables import HoldReason
from app.erasure.states import RequestState
from app.erasure.tables import ErasureRequest, Run
from app.erasure.worker_tables import Worker, WorkerRole
from app.registry.tables import Dataset, Model, ModelVersion, VersionState
from app.restore import service as restore
from app.restore.tables import PauseReason
from app.runtime import Runtime
from tests.cli.doctoring import Doctor, bad, cases, change, doctor, findings, healthy, model
from tests.erasure.working import Hand

__all__ = ["cases", "doctor", "healthy", "model"]


def broker_missing(runtime: Runtime) -> list[tuple[str, str]]:
    """A fleet without a broker is warned; a single machine needs none."""
    return [] if runtime.database.is_sqlite else [("broker", "warning")]


def test_a_healthy_service_has_no_problem(doctor: Doctor, healthy: Runtime) -> None:
    result = doctor("--full", "--json")
    assert result.code == 0, result.out
    assert result.document["ok"] is True
    assert bad(result) == broker_missing(healthy)
    areas = {each["area"] for each in findings(result)}
    assert areas >= {
        "database",
        "schema",
        "durability",
        "clock",
        "workers",
        "artifacts",
        "keys",
        "broker",
        "states",
        "models",
        "leases",
        "audit log",
        "restore",
    }


def test_a_server_that_confirms_before_it_has_written_is_a_problem(
    doctor: Doctor, healthy: Runtime
) -> None:
    if healthy.database.is_sqlite:
        pytest.skip("SQLite's durability is the service's own setting")
    with healthy.database.write() as session:
        name = session.scalar(text("SELECT current_database()"))
        session.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
    result = doctor("--json")
    assert result.code == 1
    assert ("durability", "problem") in bad(result)


def test_authorities_of_callbacks_that_cannot_be_read_are_a_problem(
    doctor: Doctor, healthy: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOTUS_CALLBACK_CA_FILE", str(tmp_path / "absent.pem"))
    result = doctor("--json")
    assert result.code == 1
    assert ("callbacks", "problem") in bad(result)


def test_people_get_lines_that_say_what_to_do(doctor: Doctor, healthy: Runtime) -> None:
    change(healthy, Worker, heartbeat_at=datetime.now(UTC) - timedelta(hours=1))
    result = doctor()
    assert result.code == 0  # a warning is no problem
    assert "was heard of" in result.out and "→ Start `lotus serve`" in result.out
    assert "0 problems" in result.out


def _old_pending_entry(runtime: Runtime) -> None:
    then = datetime.now(UTC) - timedelta(hours=1)
    with runtime.database.write() as session:
        restore.pause(session, PauseReason.OPERATOR, None, actor="operator", now=then)
    with runtime.database.write() as session:
        session.execute(text("UPDATE service_state SET paused_at = NULL, pause_reason = NULL"))


def _old_run(runtime: Runtime) -> None:
    """Formed two days ago, claimed, and put down again since."""
    now = datetime.now(UTC) + timedelta(seconds=1)
    hand = Hand.hire(runtime, now)
    fence = hand.must_claim(now)
    with runtime.database.write() as session:
        leases.put_down(session, fence, actor="service", now=now)
    change(runtime, Run, created_at=now - timedelta(days=2))
    with runtime.database.write() as session:
        sequencer.sequence(session, now=now)
    restore.look(runtime.database, runtime.artifacts.root, now=now)


def _pause(runtime: Runtime) -> None:
    with runtime.database.write() as session:
        restore.pause(
            session, PauseReason.DATABASE_OLDER, None, actor="service", now=datetime.now(UTC)
        )


def _a_file(runtime: Runtime) -> str:
    return next(runtime.artifacts.stored())[0]


def _write(runtime: Runtime, content: bytes) -> None:
    runtime.artifacts.path(_a_file(runtime)).write_bytes(content)


def _rewind(runtime: Runtime) -> None:
    with runtime.database.write() as session:
        state = session.get_one(LogState, 1)
        state.rewound_at, state.rewound_reason = datetime.now(UTC), RewindReason.SMALLER


def _unsealed(runtime: Runtime) -> None:
    _old_pending_entry(runtime)
    with runtime.database.write() as session:
        sequencer.sequence(session, now=datetime.now(UTC))


def _hold(runtime: Runtime, *, until: datetime | None, days: int) -> None:
    change(
        runtime,
        ErasureRequest,
        state=RequestState.ON_HOLD,
        hold_reason=HoldReason.LEGAL_HOLD,
        held_until=until,
        updated_at=datetime.now(UTC) - timedelta(days=days),
    )


AILMENTS: dict[str, tuple[Callable[[Runtime], object], str, str, str]] = {
    "the log does not continue what was signed": (
        _rewind,
        "sealing",
        "problem",
        "log-rewound since",
    ),
    "the log is no longer signed": (_unsealed, "sealing", "problem", "not signed since"),
    "a file is missing": (
        lambda runtime: runtime.artifacts.destroy(_a_file(runtime)),
        "artifacts",
        "problem",
        "missing: ",
    ),
    "a file is cut short": (
        lambda runtime: _write(runtime, b""),
        "artifacts",
        "problem",
        "damaged: ",
    ),
    "a byte of a file has changed": (
        lambda runtime: _write(runtime, b"8 bytes!"),
        "artifacts",
        "problem",
        "damaged: ",
    ),
    "a pseudonym key is gone": (
        lambda runtime: change(runtime, Dataset, pseudonym_key_id="k0"),
        "keys",
        "problem",
        "missing pseudonym key: k0",
    ),
    "a pseudonym key is another one": (
        lambda runtime: change(runtime, Dataset, pseudonym_key_check=b"another key's"),
        "keys",
        "problem",
        "another pseudonym key: k1",
    ),
    "a model lost its version": (
        lambda runtime: change(runtime, ModelVersion, state=VersionState.SUPERSEDED),
        "models",
        "problem",
        "without an active version: mdl_",
    ),
    "a request waits for too long": (
        lambda runtime: change(
            runtime, ErasureRequest, updated_at=datetime.now(UTC) - timedelta(days=8)
        ),
        "states",
        "warning",
        "in scheduled: req_",
    ),
    "a request waits for its approval": (
        lambda runtime: change(
            runtime,
            ErasureRequest,
            state=RequestState.AWAITING_APPROVAL,
            updated_at=datetime.now(UTC) - timedelta(days=8),
        ),
        "states",
        "warning",
        "7 days, 0:00:00 in awaiting_approval: req_",
    ),
    "a hold has outlasted its end": (
        lambda runtime: _hold(runtime, until=datetime.now(UTC) - timedelta(minutes=1), days=0),
        "states",
        "warning",
        "longer than its end, or 30 days, 0:00:00 in on_hold: req_",
    ),
    "a hold without an end lasts long": (
        lambda runtime: _hold(runtime, until=None, days=31),
        "states",
        "warning",
        "in on_hold: req_",
    ),
    "a run waits for too long": (
        _old_run,
        "states",
        "warning",
        "in queued: run_",
    ),
    "a model's runs keep failing": (
        lambda runtime: change(
            runtime, Model, paused_until=datetime.now(UTC) + timedelta(minutes=1)
        ),
        "paused models",
        "warning",
        "kept failing: mdl_",
    ),
    "nobody computes": (
        lambda runtime: change(runtime, Worker, role=WorkerRole.OPS),
        "workers",
        "warning",
        "none that computes",
    ),
    "nobody keeps the time": (
        lambda runtime: change(runtime, Worker, role=WorkerRole.GPU),
        "workers",
        "warning",
        "none of the queue `ops`",
    ),
    "nobody sequences": (
        _old_pending_entry,
        "audit log",
        "problem",
        "have waited for their place since",
    ),
    "the service is paused": (
        _pause,
        "restore",
        "problem",
        "(database_older)",
    ),
}


@pytest.mark.parametrize("ailment", AILMENTS)
def test_each_ailment_is_found_and_has_an_action(
    doctor: Doctor, healthy: Runtime, ailment: str
) -> None:
    harm, area, level, says = AILMENTS[ailment]
    harm(healthy)
    result = doctor("--json")
    assert bad(result) == [(area, level), *broker_missing(healthy)]
    (found,) = [each for each in findings(result, area) if each["level"] == level]
    assert says in found["says"]
    assert found["action"]
    assert result.code == (1 if level == "problem" else 0)


def test_a_log_that_nothing_signs_is_a_warning(doctor: Doctor, runtime: Runtime) -> None:
    (found,) = findings(doctor("--json"), "sealing")
    assert found["level"] == "warning" and "LOTUS_SIGNING_KEY" in found["action"]


def test_a_log_keeps_its_name_whatever_the_setting_says(
    doctor: Doctor, healthy: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTUS_LOG_ORIGIN", "other.example.org")
    warned, signed = findings(doctor("--json"), "sealing")
    assert warned["level"] == "warning" and "lotus-log/" in warned["says"]
    assert signed["level"] == "ok"


def test_a_long_hold_with_an_end_ahead_is_no_ailment(doctor: Doctor, healthy: Runtime) -> None:
    _hold(healthy, until=datetime.now(UTC) + timedelta(days=300), days=60)
    assert bad(doctor("--json")) == broker_missing(healthy)


def test_a_lease_that_nobody_takes_back_is_a_problem(doctor: Doctor, healthy: Runtime) -> None:
    now = datetime.now(UTC)
    Hand.hire(healthy, now).must_claim(now)
    assert doctor("--json").code == 0
    change(healthy, Run, lease_until=now - timedelta(minutes=6))
    result = doctor("--json")
    assert result.code == 1
    assert ("leases", "problem") in bad(result)


def test_a_changed_audit_entry_is_a_problem(doctor: Doctor, healthy: Runtime) -> None:
    with healthy.database.write() as session:
        if healthy.database.is_sqlite:
            session.execute(text("DROP TRIGGER audit_entries_no_update"))
        else:
            session.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        session.execute(text("UPDATE audit_entries SET kind = 'other' WHERE \"index\" = 0"))
    result = doctor("--json")
    assert result.code == 1
    assert ("audit log", "problem") in bad(result)


def test_the_doctor_makes_no_new_key_in_place_of_a_missing_one(
    doctor: Doctor, healthy: Runtime, settings: Settings
) -> None:
    if not healthy.database.is_sqlite:
        pytest.skip("a fleet's keys are settings")
    (settings.key_dir / "suppression.key").unlink()
    result = doctor("--json")
    assert result.code == 1
    (found,) = findings(result, "keys")
    assert found["says"] == "missing: suppression"
    assert not (settings.key_dir / "suppression.key").exists()


def test_the_doctor_says_which_pseudonym_keys_data_still_needs(
    doctor: Doctor, healthy: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = healthy.keyring.pseudonym
    used = base64.b64encode(ring["k1"]).decode()
    fresh = base64.b64encode(bytes(range(32))).decode()
    monkeypatch.setenv("LOTUS_PSEUDONYM_KEY", f"k2:{fresh},k1:{used}")
    said = [each["says"] for each in findings(doctor("--json"), "keys")]
    assert any("pseudonym (k2: no dataset, k1: 1 dataset)" in each for each in said)


def test_keys_that_others_may_read_are_a_warning(
    doctor: Doctor, healthy: Runtime, settings: Settings
) -> None:
    settings.data_dir.chmod(0o755)
    result = doctor("--json")
    assert result.code == 0
    assert ("keys", "warning") in bad(result)


def test_keys_that_are_the_same_or_not_random_are_told(
    doctor: Doctor, healthy: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = base64.b64encode(bytes(32)).decode()
    monkeypatch.setenv("LOTUS_SECRET_KEY", key)
    monkeypatch.setenv("LOTUS_SUPPRESSION_KEY", key)
    result = doctor("--json")
    said = [each["says"] for each in findings(result, "keys")]
    assert "LOTUS_SECRET_KEY and LOTUS_SUPPRESSION_KEY are the same" in said
    assert "LOTUS_SECRET_KEY is no random key" in said
    assert key not in result.out + result.err
    assert result.code == 1


def test_tables_of_another_version_are_a_problem_and_are_left_alone(
    doctor: Doctor, healthy: Runtime
) -> None:
    with healthy.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    result = doctor("--json")
    assert result.code == 1
    assert "lotus migrate" in findings(result, "schema")[0]["action"]
    refused = doctor("--after-restore", "--resume")
    assert refused.code == 1 and "lotus migrate" in refused.err
    with healthy.database.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0001"


def test_a_database_that_does_not_answer_leaves_the_other_checks(
    doctor: Doctor, healthy: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    if healthy.database.is_sqlite:
        path = Path(str(healthy.database.url.database))
        healthy.close()
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        path.write_bytes(b"this is no database" * 1000)
    else:
        gone = f"postgresql+psycopg://jane:secret@127.0.0.1:{_free_port()}/gone"
        monkeypatch.setenv("LOTUS_DATABASE_URL", gone)
    result = doctor("--json")
    assert result.code == 1
    assert ("database", "problem") in bad(result)
    assert findings(result, "artifacts") and findings(result, "broker")
    assert "secret" not in json.dumps(findings(result, "database"))
    refused = doctor("--after-restore", "--resume")
    assert refused.code == 1
    assert "Traceback" not in refused.err and "secret@" not in refused.err


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_where_there_is_no_service_the_doctor_makes_none(lotus: Doctor, tmp_path: Path) -> None:
    result = lotus("doctor")
    assert result.code == 1
    assert "there is no service data" in result.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "flags", [["--resume"], ["--pause"], ["--after-restore", "--pause", "--resume"]]
)
def test_flags_that_make_no_sense_together_are_refused(lotus: Doctor, flags: list[str]) -> None:
    result = lotus("doctor", *flags)
    assert result.code == 1
    assert "--pause and --resume" in result.err


def test_a_broker_that_does_not_answer_is_a_problem_and_its_password_stays_out(
    tmp_path: Path,
) -> None:
    url = f"redis://:secret@127.0.0.1:{_free_port()}/0"
    found = broker(Settings(data_dir=tmp_path, broker_url=url))
    assert found.level is Level.PROBLEM
    assert "secret" not in found.says + found.action


def test_a_broker_that_answers_is_well(tmp_path: Path, redis_url: str) -> None:
    found = broker(Settings(data_dir=tmp_path, broker_url=redis_url))
    assert (found.level, found.says) == (Level.OK, "answers")
