"""What the certificate of a search that found nothing states."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.certificates import wording
from app.certificates.statement import Destruction, NoMatchCase, SearchedDataset, Times
from app.erasure import matching
from app.erasure.tables import ErasureRequest, ReasonCode, RequestSubject
from app.registry.tables import Dataset, Model, Sample, SampleSplit, SampleSubject
from app.version import code_version


def chosen_models(request: ErasureRequest) -> list[UUID] | None:
    """The models that the request names; None if it names none, and so concerns all."""
    return [UUID(hex=name[-32:]) for name in request.model_scope] if request.model_scope else None


def case_facts(
    request: ErasureRequest, *, rows: bool, weights: Iterable[str] = ()
) -> dict[str, Any]:
    """What every certificate says of its request, whatever was found. `rows` and `weights` exist
    and will be destroyed when the case closes."""
    return {
        "controller": request.controller_id,
        "request": request.id,
        "times": Times(
            submitted=request.submitted_at,
            received=request.received_at,
            due=request.due_at,
            extended_due=request.extended_due_at,
            completed=request.completed_at,
        ),
        "regulation": request.regulation,
        "legal_ground": request.legal_ground,
        "reason_code": request.reason_code,
        "earlier_request": request.earlier_request_id,
        "destruction": tuple(_planned(request, rows, weights)),
    }


def _planned(request: ErasureRequest, rows: bool, weights: Iterable[str]) -> Iterator[Destruction]:
    at = request.next_closing_at
    if at is None:
        return
    yield Destruction(what="links", state="planned", at=at)
    if rows:
        yield Destruction(what="data_rows", state="planned", at=at)
    for sha256 in sorted(set(weights)):
        yield Destruction(what="weights", state="planned", at=at, sha256=sha256)


def no_match_case(session: Session, request: ErasureRequest) -> NoMatchCase:
    subjects = session.scalars(
        select(RequestSubject).where(RequestSubject.request_id == request.id)
    ).all()
    # Exactly those that the request's models were trained on: no other was looked into.
    models = matching.models_in_scope(session, request.controller_id, chosen_models(request))
    searched = searched_datasets(session, models, subjects)
    identity_count = len({subject.position for subject in subjects})
    held_out = session.scalars(
        select(func.count(Sample.id.distinct()))
        .join(SampleSubject, SampleSubject.sample_id == Sample.id)
        .where(
            SampleSubject.subject_ref.in_([subject.subject_ref for subject in subjects]),
            Sample.split != SampleSplit.TRAIN,
            Sample.dataset_id.in_([dataset.dataset for dataset in searched]),
        )
    ).one()
    assert request.completed_at is not None
    return NoMatchCase(
        outcome="no_match",
        code_version=code_version(),
        searched=searched,
        identity_count=identity_count,
        held_out_count=held_out,
        searched_at=request.received_at,
        **case_facts(request, rows=bool(held_out)),
        claims=wording.no_match_claims(
            searched,
            identity_count=identity_count,
            held_out_count=held_out,
            previously_unlearned=request.reason_code is ReasonCode.PREVIOUSLY_UNLEARNED,
        ),
        limits=wording.no_match_limits(chosen_models=len(models) if request.model_scope else None),
    )


def searched_datasets(
    session: Session, models: Iterable[Model], subjects: Iterable[RequestSubject]
) -> tuple[SearchedDataset, ...]:
    """What these models were trained on, as far as it lists identities of the person's types."""
    asked = {subject.identity_type for subject in subjects}
    datasets = session.scalars(
        select(Dataset)
        .where(Dataset.id.in_({model.dataset_id for model in models}))
        .order_by(Dataset.id)
    ).all()
    return tuple(
        SearchedDataset(
            dataset=dataset.id, sha256=dataset.upload_sha256, identity_types=tuple(sorted(types))
        )
        for dataset in datasets
        if (types := asked & {column["type"] for column in dataset.subject_columns})
    )
