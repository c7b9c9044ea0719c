"""The two kinds of work that hold a device: a run that unlearns, and a re-check of cases.

Both are rows with a lease and an attempt, and each attempt is a process. Never imports torch.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from app.audit.kinds import worker_actor
from app.erasure import leases, recheck_leases
from app.erasure.recheck_tables import LIVE, Recheck, RecheckState
from app.erasure.states import LEASED_RUN, RUN
from app.erasure.tables import ErrorClass, Run
from app.keyring import Keyring


@dataclass(frozen=True)
class Lease:
    """As the row says. `begun`: the process has shown a first sign of life. `over`: this attempt
    was the last one, and the work has come to its end."""

    held: bool
    over: bool
    begun: bool
    until: datetime | None


class Claim(Protocol):
    @property
    def fence(self) -> Any: ...

    @property
    def model_id(self) -> UUID: ...


class Work(Protocol):
    name: str
    module: str  # takes the row's id and the attempt

    def claim(
        self,
        session: Session,
        keyring: Keyring,
        worker: UUID,
        model: UUID,
        *,
        lease: timedelta,
        now: datetime,
    ) -> Claim | None: ...

    def look(self, session: Session, fence: Any) -> Lease: ...

    def renew(self, session: Session, fence: Any, *, lease: timedelta, now: datetime) -> None: ...

    def put_down(self, session: Session, fence: Any, *, worker: UUID, now: datetime) -> None: ...

    def give_back(
        self,
        session: Session,
        keyring: Keyring,
        fence: Any,
        *,
        error_class: ErrorClass,
        detail: str,
        worker: UUID,
        now: datetime,
    ) -> None: ...


class Unlearning:
    name, module = "run", "workers.runner"

    def claim(
        self,
        session: Session,
        keyring: Keyring,
        worker: UUID,
        model: UUID,
        *,
        lease: timedelta,
        now: datetime,
    ) -> Claim | None:
        return leases.claim(session, keyring, worker, model, lease=lease, now=now)

    def look(self, session: Session, fence: Any) -> Lease:
        run = session.get_one(Run, fence.identity)
        own = run.attempt == fence.attempt
        return Lease(
            held=own and run.state in LEASED_RUN,
            over=own and RUN[run.state].ends,
            begun=run.progress is not None,
            until=run.lease_until,
        )

    def renew(self, session: Session, fence: Any, *, lease: timedelta, now: datetime) -> None:
        leases.renew(session, fence, lease=lease, now=now)

    def put_down(self, session: Session, fence: Any, *, worker: UUID, now: datetime) -> None:
        leases.put_down(session, fence, actor=worker_actor(worker), now=now)

    def give_back(
        self,
        session: Session,
        keyring: Keyring,
        fence: Any,
        *,
        error_class: ErrorClass,
        detail: str,
        worker: UUID,
        now: datetime,
    ) -> None:
        actor = worker_actor(worker)
        leases.give_back(
            session, keyring, fence, error_class=error_class, detail=detail, actor=actor, now=now
        )


class Rechecking:
    name, module = "recheck", "workers.recheck"

    def claim(
        self,
        session: Session,
        keyring: Keyring,
        worker: UUID,
        model: UUID,
        *,
        lease: timedelta,
        now: datetime,
    ) -> Claim | None:
        return recheck_leases.claim(session, worker, model, lease=lease, now=now)

    def look(self, session: Session, fence: Any) -> Lease:
        recheck = session.get_one(Recheck, fence.identity)
        own = recheck.attempt == fence.attempt
        return Lease(
            held=own and recheck.state is RecheckState.RUNNING,
            over=own and recheck.state not in LIVE,
            begun=recheck.device is not None,
            until=recheck.lease_until,
        )

    def renew(self, session: Session, fence: Any, *, lease: timedelta, now: datetime) -> None:
        recheck_leases.renew(session, fence, lease=lease, now=now)

    def put_down(self, session: Session, fence: Any, *, worker: UUID, now: datetime) -> None:
        recheck_leases.put_down(session, fence)

    def give_back(
        self,
        session: Session,
        keyring: Keyring,
        fence: Any,
        *,
        error_class: ErrorClass,
        detail: str,
        worker: UUID,
        now: datetime,
    ) -> None:
        recheck_leases.give_back(session, fence, error_class=error_class, detail=detail, now=now)


UNLEARNING, RECHECKING = Unlearning(), Rechecking()
