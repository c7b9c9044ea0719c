"""`/audit`: the entries of the caller's controller, and the head of the tree they stand in."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from app.audit import sequencer, service
from app.audit.schemas import EntryView, HeadView
from app.audit.service import Place
from app.audit.tables import AuditEntry, PendingEntry
from app.http.pages import (
    DEFAULT_LIMIT,
    BadCursor,
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
)
from app.http.sessions import ReadSession
from app.ids import RequestId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/audit", tags=["audit"])

_BEYOND = 2**63  # what a database holds as a number

Auditor = Annotated[Caller, Depends(require(Scope.AUDIT_READ))]


@router.get("/entries")
def list_audit_entries(
    caller: Auditor,
    session: ReadSession,
    request: Annotated[RequestId | None, Query(description="Entries of this request only.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[EntryView]:
    """In the order of the log; entries that are not sequenced yet come last, without an index, and
    come again with one once they are. An unknown request has no entries."""
    place = _place(cursor)
    entries = service.entries_after(
        session, caller.controller_id, place, request=request, limit=limit
    )
    more = encode_cursor(*service.place_of(entries, place)) if len(entries) == limit else None
    return Page(items=[_view(entry) for entry in entries], next_cursor=more)


@router.get("/head")
def get_audit_head(caller: Auditor, session: ReadSession) -> HeadView:
    """Size and root of the tree as it stands, unsigned, and how many entries wait for a place in
    it. A signed head is at `/audit/checkpoint`."""
    size, root = sequencer.head(session)
    return HeadView(size=size, root=root.hex(), pending=service.count_pending(session))


def _place(cursor: str | None) -> Place:
    if cursor is None:
        return Place()
    place = Place(*(int(part) for part in decode_cursor(cursor, int, int)))
    if not (-1 <= place.entry < _BEYOND and 0 <= place.pending < _BEYOND):
        raise BadCursor("Take the cursor from `next_cursor` of the page before.")
    return place


def _view(entry: AuditEntry | PendingEntry) -> EntryView:
    return EntryView(
        index=entry.index if isinstance(entry, AuditEntry) else None,
        kind=entry.kind,
        facts=json.loads(entry.body)["facts"],
        leaf_hash=entry.leaf_hash.hex(),
        created_at=entry.created_at,
    )
