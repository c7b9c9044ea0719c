"""`/audit`: the entries of the caller's controller, and the head of the tree they stand in."""

import json
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session

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
    refused_cursor,
)
from app.http.sessions import ReadSession
from app.ids import RequestId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope

router = APIRouter(prefix="/audit", tags=["audit"])


class Order(StrEnum):
    LOG = "log"
    NEWEST = "newest"


_BEYOND = 2**63  # what a database holds as a number

Auditor = Annotated[Caller, Depends(require(Scope.AUDIT_READ))]


@router.get("/entries")
def list_audit_entries(
    caller: Auditor,
    session: ReadSession,
    request: Annotated[RequestId | None, Query(description="Entries of this request only.")] = None,
    order: Annotated[
        Order,
        Query(description="newest: the last entry of the log first, without those that wait."),
    ] = Order.LOG,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[EntryView]:
    """In the order of the log; entries that are not sequenced yet come last, without an index, and
    come again with one once they are. An unknown request has no entries."""
    if order is Order.NEWEST:
        return _newest(session, caller.controller_id, cursor, request, limit)
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


def _newest(
    session: Session, controller: UUID, cursor: str | None, request: UUID | None, limit: int
) -> Page[EntryView]:
    before = None if cursor is None else int(decode_cursor(cursor, int)[0])
    if before is not None and not 0 <= before < _BEYOND:
        raise refused_cursor()
    entries = service.entries_before(session, controller, before, request=request, limit=limit)
    more = encode_cursor(entries[-1].index) if len(entries) == limit else None
    return Page(items=[_view(entry) for entry in entries], next_cursor=more)


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
