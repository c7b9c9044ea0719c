"""The row by which a worker is known: who it is, what it computes, when it was last heard of."""

import os
import socket
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.erasure.worker_tables import Worker, WorkerRole
from app.runtime import Runtime


def register(runtime: Runtime, role: WorkerRole, device: str | None) -> UUID:
    now = datetime.now(UTC)
    worker = Worker(
        name=f"{socket.gethostname()}/{os.getpid()}",
        role=role,
        device=device,
        heartbeat_at=now,
        started_at=now,
    )
    with runtime.database.write() as session:
        session.add(worker)
    return worker.id


def beat(session: Session, worker: UUID, now: datetime) -> None:
    session.execute(update(Worker).where(Worker.id == worker).values(heartbeat_at=now))


def note_run(session: Session, worker: UUID, run: UUID | None) -> None:
    session.execute(update(Worker).where(Worker.id == worker).values(current_run_id=run))
