"""A log to seal and to harm: entries, a signer in memory, and a way past the triggers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.audit import accepting, kinds, sealing, sequencer
from app.audit.log import append
from app.audit.memory import Memory
from app.audit.tables import AuditCheckpoint
from app.db import Database
from app.signing import FileSigner

NOW = datetime(2026, 3, 1, 12, 30, 5, 40, tzinfo=UTC)
CONTROLLER = UUID("0195a000-0000-7000-8000-000000000001")
ORIGIN = "log.example.org/lotus"
TABLES = ("audit_entries", "audit_nodes", "audit_checkpoints", "signing_keys")
PROTECTED = ("update", "delete", "replace")


def signer(seed: int = 1) -> FileSigner:
    return FileSigner(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def write(database: Database, count: int = 1, event: str = "grew") -> None:
    with database.write() as session:
        for number in range(count):
            facts = kinds.DatasetInvalid(
                controller=CONTROLLER, dataset=CONTROLLER, problem=f"{event}_{number}"
            )
            append(session, facts, now=NOW)


def sequence(database: Database) -> None:
    with database.write() as session:
        sequencer.sequence(session, now=NOW)


class Sealed:
    """A database, a key and a memory, as a worker that seals has them."""

    def __init__(self, database: Database, folder: Path, seed: int = 1) -> None:
        self.database = database
        self.signer = signer(seed)
        self.memory = Memory(folder / f"{seed}.pem.checkpoint")

    def seal(self, now: datetime = NOW) -> AuditCheckpoint | None:
        return sealing.seal(self.database, self.signer, self.memory, origin=ORIGIN, now=now)

    def is_due(self, now: datetime = NOW) -> bool:
        with self.database.read() as session:
            return sealing.is_due(session, self.signer, self.memory, now=now)

    def accept(self) -> kinds.RewindAccepted | None:
        with self.database.write() as session:
            return accepting.accept_rewind(session, self.memory, actor=kinds.OPERATOR, now=NOW)


@contextmanager
def past_the_triggers(database: Database) -> Iterator[Session]:
    """What whoever owns the database can do to it."""
    with database.write() as session:
        if database.is_sqlite:
            for table in TABLES:
                for event in PROTECTED:
                    session.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{event}"))
        else:
            for table in TABLES:
                session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        yield session


def cut(database: Database, size: int) -> None:
    """The log as it was when it had `size` entries, checkpoints included."""
    with past_the_triggers(database) as session:
        session.execute(text(f'DELETE FROM audit_entries WHERE "index" >= {size}'))
        session.execute(text(f'DELETE FROM audit_nodes WHERE ("index" + 1) << level > {size}'))
        session.execute(text(f"DELETE FROM audit_checkpoints WHERE tree_size > {size}"))
