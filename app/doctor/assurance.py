"""Whether completed cases still hold: re-checks that are late or failed, and what relapsed."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from app.doctor.findings import Finding, ok, some, warning
from app.erasure import rechecks as asking
from app.erasure.recheck_tables import Recheck, RecheckState
from app.erasure.reopening import MOST_RELAPSES
from app.erasure.states import ItemState, Reopening
from app.erasure.tables import ErasureItem
from app.ids import model_id, recheck_id, request_id
from app.registry.tables import Model, ModelVersion, VersionState

_Later = aliased(Recheck)


def rechecks(session: Session, *, now: datetime) -> Iterator[Finding]:
    found = False
    late = session.scalars(
        select(Model.id).where(Model.recheck_at < now - asking.PATIENCE).order_by(Model.id)
    ).all()
    if late:
        found = True
        yield warning(
            "re-checks",
            f"nobody has looked for more than a day whether cases hold: {some(late, model_id)}",
            "Is a worker running that computes, and is it free?",
        )
    again = exists().where(
        _Later.version_id == Recheck.version_id,
        _Later.id > Recheck.id,
        _Later.state == RecheckState.DONE,
    )
    failed = session.scalars(
        select(Recheck.id)
        .join(ModelVersion, ModelVersion.id == Recheck.version_id)
        .where(
            Recheck.state == RecheckState.FAILED,
            ModelVersion.state == VersionState.ACTIVE,
            ~again,
        )
        .order_by(Recheck.id)
    ).all()
    if failed:
        found = True
        yield warning(
            "re-checks",
            f"failed on a current version: {some(failed, recheck_id)}",
            "GET /api/v1/rechecks/{id} names the error; `missing_data`: run `lotus doctor --full`. "
            "It is tried again after the policy's `recheck_days`.",
        )
    relapsed = session.scalars(
        select(ErasureItem.request_id)
        .where(
            ErasureItem.state == ItemState.NEEDS_DECISION,
            ErasureItem.reopened_for == Reopening.RELAPSED,
            ErasureItem.relapses >= MOST_RELAPSES,
        )
        .order_by(ErasureItem.request_id)
    ).all()
    if relapsed:
        found = True
        yield warning(
            "re-checks",
            f"relapsed again and again: {some(relapsed, request_id)}",
            "A person must decide: retrain, or retry with another method.",
        )
    if not found:
        yield ok("re-checks", "none is late, none has failed on a current version")
