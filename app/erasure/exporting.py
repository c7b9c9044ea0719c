"""All requests that fit a filter, as one file, read a page at a time."""

import logging
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from uuid import UUID

import anyio
from fastapi.concurrency import run_in_threadpool

from app.audit import log as audit
from app.audit.kinds import ExportBegun, ExportEnded
from app.canonical import canonical_json
from app.erasure import export_rows, listing, views
from app.erasure.export_rows import ExportForm
from app.erasure.filtering import RequestFilter
from app.ids import controller_id, export_id, new_id
from app.keys.auth import Caller, require_still_valid
from app.observability import fields
from app.runtime import Runtime

log = logging.getLogger("lotus.erasure")

PAGE = 1_000


class Export:
    """One export. Its beginning is in the audit log before the first row leaves, its end and the
    number of rows after the last one."""

    def __init__(
        self,
        runtime: Runtime,
        caller: Caller,
        wanted: RequestFilter,
        form: ExportForm,
        clock: Callable[[], datetime],
    ) -> None:
        self.id: UUID = new_id()
        self._runtime = runtime
        self._caller = caller
        self._wanted = wanted
        self._form = form
        self._clock = clock
        self._began = clock()
        self._rows = 0

    def begin(self) -> None:
        said = self._wanted.model_dump(
            mode="json", include=set(RequestFilter.model_fields), exclude_defaults=True
        )
        # Keyed, because a case number can be guessed.
        digest = self._runtime.keyring.digest("export-filter", canonical_json(said))
        facts = ExportBegun(
            controller=controller_id(self._caller.controller_id),
            export=export_id(self.id),
            actor=self._caller.actor,
            form=self._form,
            filter_digest=digest.hex(),
        )
        with self._runtime.database.write() as session:
            audit.append(session, facts, now=self._began)

    async def pieces(self) -> AsyncGenerator[bytes]:
        complete = False
        try:
            yield export_rows.heading(self._form)
            cursor: str | None = None
            while True:
                piece, cursor = await run_in_threadpool(self._page, cursor)
                yield piece
                if cursor is None:
                    break
            complete = True
            yield export_rows.ending(self._form, self._rows)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._end, complete)

    def _page(self, cursor: str | None) -> tuple[bytes, str | None]:
        """Holds no session while the caller takes it."""
        with self._runtime.database.read() as session:
            require_still_valid(session, self._caller, now=self._clock())
            found, following = listing.page(
                session, self._caller.controller_id, self._wanted, cursor, PAGE, now=self._began
            )
            shown = [views.summary(request, now=self._began) for request in found]
        self._rows += len(shown)
        return export_rows.rows(self._form, shown), following

    def _end(self, complete: bool) -> None:
        facts = ExportEnded(
            controller=controller_id(self._caller.controller_id),
            export=export_id(self.id),
            actor=self._caller.actor,
            rows=self._rows,
            complete=complete,
        )
        try:
            with self._runtime.database.write() as session:
                audit.append(session, facts, now=self._clock())
        except Exception:
            log.exception("the end of an export is not in the log", extra=fields(rows=self._rows))
