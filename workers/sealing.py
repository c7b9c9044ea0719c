"""The sealer of one process: signs the log's head, and after it what waits for a signature.

Any number of processes may have one; the memory beside the key, and the database, let one work at a
time. Never imports torch.
"""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.audit import sealing
from app.audit.memory import memory_of
from app.certificates import issuing
from app.runtime import Runtime
from app.signing import Signer, open_signer

log = logging.getLogger("lotus.worker")

# A key that lies elsewhere may be away for a while; asking each second would not bring it back.
REST = timedelta(seconds=30)


class Sealer:
    """Opens the key when it is first needed, so that a key that is away keeps nothing else from its
    work. Without one it does nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._memory = memory_of(runtime.settings)
        self._signer: Signer | None = None
        self._next = datetime.min.replace(tzinfo=UTC)
        # Noticed once: to read them again each second would change nothing.
        self._not_issuable: set[UUID] = set()

    def seal(self, now: datetime) -> None:
        """Cheap if nothing is due. After a failure, which is raised, it rests for a while."""
        if self._memory is None or now < self._next:
            return
        self._next = now + REST
        if self._signer is None:
            self._signer = open_signer(self._runtime.settings)
        if self._signer is not None:
            database, origin = self._runtime.database, self._runtime.settings.log_origin
            with database.read() as session:
                due = sealing.is_due(session, self._signer, self._memory, now=now)
            if due:
                sealing.seal(database, self._signer, self._memory, origin=origin, now=now)
            issued = issuing.issue(database, self._signer, now=now, except_for=self._not_issuable)
            self._not_issuable.update(issued.faulty)
        self._next = now
