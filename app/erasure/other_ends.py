"""What the certificates of a refused case, and of one that is worked on again, state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.canonical import instant_text
from app.certificates import other_ends as wording
from app.certificates import service
from app.certificates.model_erasure import ModelErasure, VersionDigest
from app.certificates.statement import (
    NotUnlearned,
    RefusedCase,
    ReopenedCase,
    SearchedDataset,
    WorkedOnAgain,
)
from app.erasure.no_match import case_facts, chosen_models, searched_datasets
from app.erasure.states import ITEM, ItemState, Outcome
from app.erasure.tables import ErasureItem, ErasureRequest, RequestSubject
from app.erasure.transitions import Event
from app.ids import certificate_id
from app.registry.tables import Model, ModelVersion, RegistrationState, VersionState
from app.version import code_version


@dataclass(frozen=True)
class Completed:
    """How and when a case had ended, before it was opened again."""

    at: datetime
    outcome: Outcome


def refused_case(
    session: Session, request: ErasureRequest, models: tuple[ModelErasure, ...], *, now: datetime
) -> RefusedCase:
    """`models` are those that were published for the request all the same. Nothing is planned to
    be destroyed: what the controller keeps has the controller's reason."""
    not_unlearned = tuple(_not_unlearned(session, request))
    searched = () if models or not_unlearned else _searched(session, request)
    assert request.reason_code is not None
    return RefusedCase(
        outcome="refused",
        code_version=code_version(),
        refused_at=now,
        models=models,
        not_unlearned=not_unlearned,
        searched=searched,
        **case_facts(request, rows=False),
        claims=wording.refused_claims(
            request.reason_code,
            request.regulation,
            models=models,
            not_unlearned=not_unlearned,
            searched=searched,
        ),
        limits=wording.refused_limits(
            request.regulation, models, chosen=request.model_scope is not None
        ),
    )


def reopened_case(
    session: Session,
    request: ErasureRequest,
    before: Completed,
    event: Event,
    *,
    now: datetime,
) -> ReopenedCase:
    """About the models whose items are worked on again."""
    replaced = service.newest(session, request.id)
    assert replaced is not None, "a completed case has a certificate"
    rested_on = service.published_versions(replaced)
    items = [item for item in _items(session, request) if not ITEM[item.state].ends]
    models = tuple(
        WorkedOnAgain(
            model=item.model_id,
            name=session.get_one(Model, item.model_id).name,
            current=current_version(session, item.model_id),
            withdrawn=rested_on.get(item.model_id),
        )
        for item in items
    )
    return ReopenedCase(
        outcome="reopened",
        code_version=code_version(),
        cause=event,
        reopened_at=now,
        completed_before=before.at,
        outcome_before=before.outcome,
        models=models,
        **case_facts(request, rows=False),
        claims=wording.reopened_claims(
            event,
            certificate_id(replaced.id),
            models,
            since=instant_text(now),
            completed=instant_text(before.at),
        ),
        limits=wording.reopened_limits(),
    )


def current_version(session: Session, model: UUID) -> VersionDigest:
    version = session.scalars(
        select(ModelVersion).where(
            ModelVersion.model_id == model, ModelVersion.state == VersionState.ACTIVE
        )
    ).one()
    return VersionDigest(version=version.id, number=version.number, sha256=version.artifact_sha256)


def _not_unlearned(session: Session, request: ErasureRequest) -> Iterable[NotUnlearned]:
    for item in _items(session, request):
        if item.state in (ItemState.PUBLISHED, ItemState.CANCELLED):
            continue
        yield NotUnlearned(
            model=item.model_id,
            name=session.get_one(Model, item.model_id).name,
            current=current_version(session, item.model_id),
            training_count=item.forget_count,
            held_out_count=item.held_out_count,
        )


def _items(session: Session, request: ErasureRequest) -> Sequence[ErasureItem]:
    return session.scalars(
        select(ErasureItem)
        .where(ErasureItem.request_id == request.id)
        .order_by(ErasureItem.model_id)
    ).all()


def _searched(session: Session, request: ErasureRequest) -> tuple[SearchedDataset, ...]:
    subjects = session.scalars(
        select(RequestSubject).where(RequestSubject.request_id == request.id)
    ).all()
    chosen = chosen_models(request)
    query = select(Model).where(
        Model.controller_id == request.controller_id, Model.state == RegistrationState.READY
    )
    if chosen:
        query = query.where(Model.id.in_(chosen))
    return searched_datasets(session, session.scalars(query).all(), subjects)
