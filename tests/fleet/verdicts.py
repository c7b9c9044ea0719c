"""What must be true of a fleet's database once everything has come to its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.audit.check import check
from app.audit.tables import PendingEntry
from app.erasure.states import LIVE_RUN, REQUEST, ItemState, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, ItemSample, Run, UnlearnedSample
from app.ids import request_id
from app.registry.tables import ModelVersion
from tests.erasure.invariants import HUMAN, all_hold


class SentRequest(Protocol):
    external_id: str
    request: str | None
    answers: set[str]


def wait_until_settled(engine: Engine, seconds: float) -> float:
    """Until every request has ended or names the person who must act, and every entry of the log
    has its place. Raises AssertionError."""
    began = time.monotonic()
    waits: list[str] = ["nothing was read"]
    while time.monotonic() - began < seconds:
        try:
            with Session(engine) as session:
                waits = _still_waiting(session)
        except SQLAlchemyError:
            waits = ["the database is away"]
        if not waits:
            return time.monotonic() - began
        time.sleep(0.5)
    raise AssertionError(f"not settled after {seconds:.0f} s: {Counter(waits)}")


def verdicts(engine: Engine, sent: Sequence[SentRequest]) -> dict[str, Any]:
    with Session(engine) as session:
        zero = _must_be_zero(session, sent)
        log = check(session)
        invariants = "held"
        try:
            all_hold(session, {})
        except AssertionError as broken:
            invariants = f"BROKEN: {broken}"
        return {
            "must_be_zero": zero,
            "log_ok": log.ok,
            "log_entries": log.entries,
            "invariants": invariants,
            "ends": _counted(session, ErasureRequest.state),
            "runs": _counted(session, Run.state),
            "ok": log.ok and invariants == "held" and not any(zero.values()),
        }


def _still_waiting(session: Session) -> list[str]:
    states = session.scalars(select(ErasureRequest.state))
    waiting = [
        str(state)
        for state in states
        if not REQUEST[state].ends and REQUEST[state].owner not in HUMAN
    ]
    live = session.scalars(select(Run.state).where(Run.state.in_(LIVE_RUN)))
    waiting += [f"run {state}" for state in live]
    if session.scalar(select(PendingEntry.id).limit(1)) is not None:
        waiting.append("audit entries without a place")
    return waiting


def _must_be_zero(session: Session, sent: Sequence[SentRequest]) -> dict[str, int]:
    stored = Counter(session.scalars(select(ErasureRequest.external_id)))
    known = {request_id(identity) for identity in session.scalars(select(ErasureRequest.id))}
    twice = (
        select(UnlearnedSample.model_id)
        .group_by(UnlearnedSample.model_id, UnlearnedSample.sample_id)
        .having(func.count() > 1)
    )
    published = ModelVersion.published_at.is_not(None)
    of_a_run = select(ModelVersion.run_id).where(published, ModelVersion.run_id.is_not(None))
    of_a_parent = select(ModelVersion.parent_id).where(
        published, ModelVersion.parent_id.is_not(None)
    )
    return {
        "requests lost": sum(one.request not in known for one in sent),
        "requests stored twice": sum(count > 1 for count in stored.values())
        + sum(len(one.answers) > 1 for one in sent),
        "requests done twice": len(session.execute(twice).all()),
        "versions published twice": sum(
            count > 1
            for query in (of_a_run, of_a_parent)
            for count in Counter(session.scalars(query)).values()
        ),
        "cancelled, but unlearned": len(session.execute(_cancelled_but_unlearned()).all()),
        "completed without a version": session.scalar(_completed_without_version()) or 0,
    }


def _cancelled_but_unlearned() -> Any:
    """Samples of cancelled items that a run unlearned, unless another item asked for them, too."""
    others = (
        select(ItemSample.sample_id)
        .join(ErasureItem, ErasureItem.id == ItemSample.item_id)
        .where(ErasureItem.state == ItemState.PUBLISHED)
    )
    return (
        select(UnlearnedSample.sample_id)
        .join(ItemSample, ItemSample.sample_id == UnlearnedSample.sample_id)
        .join(ErasureItem, ErasureItem.id == ItemSample.item_id)
        .where(
            ErasureItem.state == ItemState.CANCELLED,
            ErasureItem.model_id == UnlearnedSample.model_id,
            UnlearnedSample.sample_id.not_in(others),
        )
    )


def _completed_without_version() -> Any:
    """Completed requests of which an item has no published version."""
    published = select(ModelVersion.run_id).where(ModelVersion.published_at.is_not(None))
    return (
        select(func.count())
        .select_from(ErasureItem)
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(
            ErasureRequest.state == RequestState.COMPLETED,
            (ErasureItem.run_id.is_(None)) | (ErasureItem.run_id.not_in(published)),
        )
    )


def _counted(session: Session, column: Any) -> dict[str, int]:
    return {
        str(state): n for state, n in session.execute(select(column, func.count()).group_by(column))
    }
