"""What must be true of a fleet's database once everything has come to its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.audit.check import check
from app.audit.tables import PendingEntry
from app.erasure.states import LIVE_RUN, REQUEST, ItemState, RequestState
from app.erasure.tables import ErasureItem, ErasureRequest, ItemSample, Run, UnlearnedSample
from app.identities import IdentityFormat, value_sha256
from app.ids import request_id
from app.keyring import Keyring
from app.registry.tables import Model, ModelVersion, Sample, SampleSplit, SampleSubject
from client import Subject
from tests.erasure.invariants import HUMAN, all_hold

KEY = bytes(32)
KEYRING = Keyring(secret=KEY, pseudonym={"k1": KEY}, suppression=KEY)  # a fleet's, of tests


class SentRequest(Protocol):
    """What a caller knows of one request. `cancelled`: it was told so."""

    external_id: str
    subjects: list[Subject]
    request: str | None
    answers: set[str]
    cancelled: bool


def wait_until_settled(engine: Engine, seconds: float) -> None:
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
            return
        time.sleep(0.5)
    raise AssertionError(f"not settled after {seconds:.0f} s: {Counter(waits)}")


def verdicts(engine: Engine, sent: Sequence[SentRequest]) -> dict[str, Any]:
    with Session(engine) as session:
        zero = must_be_zero(session, sent, KEYRING)
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


def must_be_zero(session: Session, sent: Sequence[SentRequest], keyring: Keyring) -> dict[str, int]:
    requests = {request_id(one.id): one for one in session.scalars(select(ErasureRequest))}
    stored = Counter(session.scalars(select(ErasureRequest.external_id)))
    twice = (
        select(UnlearnedSample.model_id)
        .group_by(UnlearnedSample.model_id, UnlearnedSample.sample_id)
        .having(func.count() > 1)
    )
    published = ModelVersion.published_at.is_not(None)
    of_a_parent = select(ModelVersion.parent_id).where(
        published, ModelVersion.parent_id.is_not(None)
    )
    return {
        "requests lost": sum(one.request not in requests for one in sent),
        "requests stored twice": sum(count > 1 for count in stored.values())
        + sum(len(one.answers) > 1 for one in sent),
        "requests done twice": len(session.execute(twice).all()),
        "versions published twice": sum(
            count > 1 for count in Counter(session.scalars(of_a_parent)).values()
        ),
        "cancelled, but unlearned": len(session.execute(_cancelled_but_unlearned()).all()),
        "cancel confirmed, but not cancelled": sum(
            one.cancelled and _state(requests, one) is not RequestState.CANCELLED for one in sent
        ),
        "completed, but not unlearned": sum(
            _state(requests, one) is RequestState.COMPLETED
            and not _is_unlearned(session, one, keyring)
            for one in sent
        ),
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


def _state(requests: Mapping[str, ErasureRequest], one: SentRequest) -> RequestState | None:
    found = requests.get(one.request or "")
    return found.state if found else None


def _is_unlearned(session: Session, one: SentRequest, keyring: Keyring) -> bool:
    """Every training row of every person whom the request named, found from the names alone, is
    among what the model of its data has unlearned."""
    key = keyring.pseudonym_key_id
    for subject in one.subjects:
        digest = value_sha256(subject.type, subject.value, IdentityFormat.RAW)
        rows = session.execute(
            select(Sample.id, Model.id)
            .join(SampleSubject, SampleSubject.sample_id == Sample.id)
            .join(Model, Model.dataset_id == Sample.dataset_id)
            .where(
                SampleSubject.subject_ref == keyring.subject_ref(key, subject.type, digest),
                Sample.split == SampleSplit.TRAIN,
            )
        ).all()
        unlearned = set(
            session.execute(
                select(UnlearnedSample.sample_id, UnlearnedSample.model_id).where(
                    UnlearnedSample.sample_id.in_([sample for sample, _ in rows])
                )
            ).all()
        )
        if not rows or not set(rows) <= unlearned:
            return False
    return True


def _counted(session: Session, column: Any) -> dict[str, int]:
    return {
        str(state): n for state, n in session.execute(select(column, func.count()).group_by(column))
    }
