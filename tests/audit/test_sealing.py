"""The sealer, its memory outside the database, and the log it refuses to sign."""

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from app.audit import accepting, kinds, notes, sealing
from app.audit.adopting import RetiredKey
from app.audit.checkpoints import log_state, newest, signing_keys
from app.audit.log import append
from app.audit.memory import Memory
from app.audit.notes import Checkpoint
from app.audit.sequencer import head, root_at
from app.audit.tables import AuditCheckpoint, AuditEntry, PendingEntry
from app.db import Database
from app.ids import new_id
from app.signing import FileSigner, key_id
from tests.audit.logs import NOW, ORIGIN, Sealed, cut, past_the_triggers, sequence, signer, write

MINUTE = timedelta(minutes=1)


class Crash(Exception):
    pass


@pytest.fixture
def sealed(database: Database, tmp_path: Path) -> Sealed:
    """Five entries of which the last two record nothing but the sealer's own beginning."""
    write(database, 4)
    made = Sealed(database, tmp_path)
    assert made.seal() is not None
    return made


def checkpoints(database: Database) -> list[int]:
    with database.read() as session:
        query = select(AuditCheckpoint.tree_size).order_by(AuditCheckpoint.tree_size)
        return list(session.scalars(query))


def logged(database: Database, kind: kinds.Kind) -> int:
    with database.read() as session:
        return sum(
            session.scalar(select(func.count()).where(table.kind == kind)) or 0
            for table in (AuditEntry, PendingEntry)
        )


def reason(sealed: Sealed) -> str | None:
    with sealed.database.read() as session:
        state = log_state(session)
        return state.rewound_reason if state is not None else None


def test_the_first_seal_names_the_log_adopts_the_key_and_signs_the_whole_tree(
    sealed: Sealed,
) -> None:
    with sealed.database.read() as session:
        stored, tree = newest(session), head(session)
        [key] = signing_keys(session)
    assert stored is not None
    signed = notes.parse(stored.note)
    assert signed.checkpoint == Checkpoint(ORIGIN, 5, tree.root) and tree.size == 5
    assert signed.verify(sealed.signer.public)
    assert (stored.tree_size, stored.root_hash) == (5, tree.root)
    assert (key.key_id, key.public) == (key_id(sealed.signer.public), sealed.signer.public)
    assert logged(sealed.database, kinds.Kind.SIGNING_KEY_ADOPTED) == 1
    assert sealed.memory.path.read_text() == stored.note
    assert sealed.memory.path.stat().st_mode & 0o077 == 0


def test_a_log_gets_a_name_of_its_own_once(database: Database, tmp_path: Path) -> None:
    made = Sealed(database, tmp_path)
    names = set()
    for _ in range(2):
        write(database)
        row = sealing.seal(database, made.signer, made.memory, origin=None, now=NOW)
        assert row is not None
        names.add(notes.parse(row.note).checkpoint.origin)
    assert len(names) == 1 and names.pop().startswith("lotus-log/")


def test_a_name_that_is_set_later_does_not_replace_the_first(sealed: Sealed) -> None:
    write(sealed.database)
    row = sealing.seal(sealed.database, sealed.signer, sealed.memory, origin="other", now=NOW)
    assert row is not None and notes.parse(row.note).checkpoint.origin == ORIGIN


def test_a_log_that_did_not_grow_is_not_signed_again(sealed: Sealed) -> None:
    assert not sealed.is_due(NOW + 60 * MINUTE)
    assert sealed.seal(NOW + 60 * MINUTE) is None
    assert checkpoints(sealed.database) == [5]


def test_growth_is_sealed_after_a_minute(sealed: Sealed) -> None:
    write(sealed.database)
    assert not sealed.is_due(NOW + 0.9 * MINUTE)
    assert sealed.is_due(NOW + MINUTE)
    sealed.seal()
    assert checkpoints(sealed.database) == [5, 6]
    assert not sealed.is_due(NOW + MINUTE)


@pytest.mark.parametrize("sequenced", [False, True])
def test_the_end_of_a_run_is_sealed_at_once(sealed: Sealed, sequenced: bool) -> None:
    facts = kinds.RunMoved(
        controller=new_id(),
        run=new_id(),
        model=new_id(),
        attempt=1,
        from_state="running",
        to_state="succeeded",
        event="published",
        actor=kinds.SERVICE,
    )
    with sealed.database.write() as session:
        append(session, facts, now=NOW)
    if sequenced:
        sequence(sealed.database)
    assert sealed.is_due()


def test_a_backlog_of_many_batches_is_sealed_whole(sealed: Sealed) -> None:
    write(sealed.database, 2 * sealing.sequencer.BATCH + 3)
    sealed.seal()
    assert checkpoints(sealed.database) == [5, 2 * sealing.sequencer.BATCH + 8]


# -- ended at any point


class Failing(FileSigner):
    def sign(self, message: bytes) -> bytes:
        raise Crash


def fail(*_: object, **__: object) -> None:
    raise Crash


def crash_while_signing(sealed: Sealed, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sealed.signer, "sign", fail)


def crash_before_remembering(sealed: Sealed, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sealed.memory, "write", fail)


def crash_before_storing(sealed: Sealed, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sealing, "_store", fail)


def crash_after_adopting(sealed: Sealed, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sealing, "_look", fail)


def crash_after_sequencing(sealed: Sealed, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sealing, "_is_signed", fail)


CRASHES = [
    crash_after_adopting,
    crash_after_sequencing,
    crash_while_signing,
    crash_before_remembering,
    crash_before_storing,
]
Break = Callable[[Sealed, pytest.MonkeyPatch], None]


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("first", [True, False])
def test_a_crash_at_any_point_is_made_up_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: Break, first: bool
) -> None:
    sealed = Sealed(database, tmp_path)
    if not first:
        sealed.seal()
    write(database, 3)
    with monkeypatch.context() as patch:
        crash(sealed, patch)
        with pytest.raises(Crash):
            sealed.seal()
    assert sealed.is_due(NOW + MINUTE)
    assert checkpoints(database) == ([] if first else [1])
    assert sealed.seal(NOW + MINUTE) is not None
    assert reason(sealed) is None
    assert checkpoints(database) == ([4] if first else [1, 4])
    assert not sealed.is_due(NOW + 2 * MINUTE)
    assert logged(database, kinds.Kind.SIGNING_KEY_ADOPTED) == 1


def test_a_head_signed_before_a_crash_cannot_be_cut_off_after_it(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sealed.database, 2)
    with monkeypatch.context() as patch:
        crash_before_storing(sealed, patch)
        with pytest.raises(Crash):
            sealed.seal()
    cut(sealed.database, 5)
    assert sealed.is_due()
    assert sealed.seal() is None
    assert reason(sealed) == "smaller"


def test_no_transaction_is_open_while_the_key_signs(sealed: Sealed) -> None:
    class Remote(FileSigner):
        def sign(self, message: bytes) -> bytes:
            with sealed.database.write(wait=1.0) as session:  # would not get its turn
                append(session, kinds.SigningKeyAdopted(key_id="0" * 64), now=NOW)
            assert sealed.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
            return super().sign(message)

    write(sealed.database)
    sealed.signer = Remote(sealed.signer._private)
    assert sealed.seal() is not None


def test_two_sealers_at_once_sign_one_head(sealed: Sealed) -> None:
    signing, go_on, signatures = threading.Event(), threading.Event(), []

    class Slow(FileSigner):
        def sign(self, message: bytes) -> bytes:
            signatures.append(message)
            signing.set()
            assert go_on.wait(30)
            return super().sign(message)

    write(sealed.database)
    sealed.signer = Slow(sealed.signer._private)
    other = threading.Thread(target=sealed.seal)
    other.start()
    assert signing.wait(30)
    assert sealed.seal() is None
    go_on.set()
    other.join(30)
    assert len(signatures) == 1
    assert checkpoints(sealed.database) == [5, 6]


def test_sealers_with_memories_of_their_own_agree_on_the_database(
    sealed: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one finds a larger tree stored, and leaves it."""
    elsewhere = Sealed(sealed.database, tmp_path)
    elsewhere.memory = Memory(tmp_path / "elsewhere")
    shutil.copy(sealed.memory.path, elsewhere.memory.path)
    write(sealed.database)
    store = sealing._store

    def overtaken(*arguments: object) -> object:
        monkeypatch.setattr(sealing, "_store", store)
        write(sealed.database)
        elsewhere.seal()
        return store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sealing, "_store", overtaken)
    assert sealed.seal() is None
    assert checkpoints(sealed.database) == [5, 7]
    assert sealed.is_due()  # its memory is behind
    sealed.seal()
    assert not sealed.is_due()
    assert notes.parse(sealed.memory.path.read_text()).checkpoint.size == 7


def test_a_key_that_signs_for_another_public_half_is_refused(sealed: Sealed) -> None:
    class Mixed(FileSigner):
        def sign(self, message: bytes) -> bytes:
            return signer(9).sign(message)

    write(sealed.database)
    sealed.signer = Mixed(sealed.signer._private)
    with pytest.raises(sealing.WrongSignature):
        sealed.seal()
    assert checkpoints(sealed.database) == [5]


# -- a log that is not the one that was signed


def assert_refuses(sealed: Sealed, why: str) -> None:
    before, remembered = checkpoints(sealed.database), sealed.memory.path
    kept = remembered.read_bytes() if remembered.exists() else None
    assert sealed.is_due()
    assert sealed.seal() is None
    assert reason(sealed) == why
    for _ in range(2):
        write(sealed.database, 20)
        assert not sealed.is_due(NOW + 60 * MINUTE)
        assert sealed.seal(NOW + 60 * MINUTE) is None
    assert checkpoints(sealed.database) == before
    assert (remembered.read_bytes() if remembered.exists() else None) == kept
    assert logged(sealed.database, kinds.Kind.LOG_REWOUND) == 1


def test_a_log_that_was_cut_is_not_signed_again(sealed: Sealed) -> None:
    write(sealed.database, 3)
    sealed.seal()
    cut(sealed.database, 5)
    assert_refuses(sealed, "smaller")


def test_a_log_that_was_cut_and_grew_past_what_was_signed_is_not_signed_again(
    sealed: Sealed,
) -> None:
    write(sealed.database, 3)
    sealed.seal()
    cut(sealed.database, 5)
    write(sealed.database, 9, "another_history")
    sequence(sealed.database)
    assert_refuses(sealed, "other_history")


def test_a_tree_that_lacks_nodes_is_not_signed_again(sealed: Sealed) -> None:
    with past_the_triggers(sealed.database) as session:
        session.execute(text("DELETE FROM audit_nodes WHERE level = 2"))
    write(sealed.database)
    assert sealed.is_due(NOW + MINUTE)
    assert sealed.seal() is None
    assert reason(sealed) == "other_history"


def test_a_restored_backup_of_the_file_is_not_signed(
    sealed: Sealed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not sealed.database.is_sqlite:
        pytest.skip("a copy of a cluster is made by other tests")
    sealed.database.settle()
    path = Path(str(sealed.database.url.database))
    shutil.copy(path, tmp_path / "backup.db")
    write(sealed.database, 3)
    sealed.seal()
    sealed.database.dispose()
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", path)
    assert_refuses(sealed, "smaller")


def test_the_key_of_another_log_does_not_sign_this_one(
    sealed: Sealed, make_database: Callable[[], object]
) -> None:
    with make_database() as other:  # type: ignore[attr-defined]
        mixed = Sealed(other, sealed.memory.path.parent)
        write(other, 9)
        assert sealing.seal(other, mixed.signer, mixed.memory, origin="other", now=NOW) is None
        assert reason(mixed) == "other_log"


def test_a_memory_that_is_gone_stops_the_key_that_wrote_it(sealed: Sealed) -> None:
    sealed.memory.path.unlink()
    assert_refuses(sealed, "memory_missing")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"half of a no"])
def test_a_memory_that_cannot_be_read_stops_the_sealer(sealed: Sealed, content: bytes) -> None:
    sealed.memory.path.write_bytes(content)
    assert_refuses(sealed, "memory_unreadable")


def test_a_memory_out_of_a_backup_is_brought_up_to_the_database(sealed: Sealed) -> None:
    old = sealed.memory.path.read_text()
    write(sealed.database)
    sealed.seal()
    sealed.memory.write(old)
    assert sealed.is_due()
    sealed.seal()
    assert not sealed.is_due(NOW + MINUTE)
    assert checkpoints(sealed.database) == [5, 6]
    assert notes.parse(sealed.memory.path.read_text()).checkpoint.size == 6


# -- accepted by a person


def test_an_accepted_log_is_signed_from_then_on_and_the_log_names_both_heads(
    sealed: Sealed,
) -> None:
    write(sealed.database, 3)
    lost = sealed.seal()
    assert lost is not None
    cut(sealed.database, 5)
    sealed.seal()
    facts = sealed.accept()
    with sealed.database.read() as session:
        assert facts == kinds.RewindAccepted(
            reason="smaller",
            signed_size=8,
            signed_root=lost.root_hash.hex(),
            log_size=5,
            log_root=root_at(session, 5).hex(),
            actor=kinds.OPERATOR,
        )
    assert reason(sealed) is None and sealed.is_due(NOW + MINUTE)
    assert sealed.seal(NOW + MINUTE) is not None
    assert checkpoints(sealed.database) == [5, 7]  # with the entries of the finding and acceptance
    assert logged(sealed.database, kinds.Kind.REWIND_ACCEPTED) == 1
    [aside] = sealed.memory.path.parent.glob("*.rewound-*")
    assert aside.read_text() == lost.note


def test_a_log_whose_memory_was_lost_can_be_accepted(sealed: Sealed) -> None:
    sealed.memory.path.unlink()
    sealed.seal()
    assert sealed.accept() is not None
    assert sealed.seal() is not None and reason(sealed) is None


def test_a_fresh_log_can_be_accepted_by_a_key_that_signed_another(
    sealed: Sealed, make_database: Callable[[], object]
) -> None:
    with make_database() as other:  # type: ignore[attr-defined]
        fresh = Sealed(other, sealed.memory.path.parent)
        sealing.seal(other, fresh.signer, fresh.memory, origin="other", now=NOW)
        assert fresh.accept() is not None
        assert fresh.seal() is not None and reason(fresh) is None


def test_a_log_that_contradicts_its_own_checkpoints_cannot_be_accepted(sealed: Sealed) -> None:
    write(sealed.database, 3)
    sealed.seal()
    with past_the_triggers(sealed.database) as session:  # all but the checkpoint
        session.execute(text('DELETE FROM audit_entries WHERE "index" >= 5'))
        session.execute(text('DELETE FROM audit_nodes WHERE ("index" + 1) << level > 5'))
    sealed.seal()
    assert reason(sealed) == "smaller"
    with pytest.raises(accepting.NotAcceptable):
        sealed.accept()
    assert reason(sealed) == "smaller"


def test_nothing_is_accepted_where_nothing_was_found(sealed: Sealed) -> None:
    before = sealed.memory.path.read_text()
    assert sealed.accept() is None
    assert sealed.memory.path.read_text() == before


@pytest.mark.parametrize("step", ["replace", "commit"])
def test_an_acceptance_that_fails_half_way_leaves_the_log_rewound(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write(sealed.database, 3)
    sealed.seal()
    cut(sealed.database, 5)
    sealed.seal()
    with monkeypatch.context() as patch:
        if step == "replace":
            patch.setattr(sealed.memory, "replace", fail)
        with pytest.raises(Crash), sealed.database.write() as session:
            accepting.accept_rewind(session, sealed.memory, actor=kinds.OPERATOR, now=NOW)
            raise Crash
    assert reason(sealed) == "smaller" and sealed.seal() is None
    facts = sealed.accept()
    assert facts is not None and facts.signed_size == 8
    assert sealed.seal() is not None


# -- another key


def test_a_new_key_retires_the_old_one_and_signs_the_same_log(
    sealed: Sealed, tmp_path: Path
) -> None:
    later = Sealed(sealed.database, tmp_path, seed=2)
    assert later.is_due()
    row = later.seal(NOW + MINUTE)
    assert row is not None and row.tree_size == 7  # one retired, one adopted
    with sealed.database.read() as session:
        old, new = signing_keys(session)
        first = session.get_one(AuditCheckpoint, 5)
    assert (old.retired_at, new.retired_at) == (NOW + MINUTE, None)
    assert notes.parse(first.note).verify(old.public)
    assert notes.parse(row.note).verify(new.public)
    assert notes.parse(row.note).checkpoint.origin == ORIGIN
    assert logged(sealed.database, kinds.Kind.SIGNING_KEY_RETIRED) == 1
    write(sealed.database)
    with pytest.raises(RetiredKey):
        sealed.seal()
    assert checkpoints(sealed.database) == [5, 7]


def test_a_new_key_in_the_same_place_goes_on_from_the_memory_of_the_old_one(
    sealed: Sealed,
) -> None:
    sealed.signer = signer(2)
    write(sealed.database, 3)
    assert sealed.seal() is not None
    cut(sealed.database, 5)
    assert sealed.seal() is None and reason(sealed) == "smaller"
