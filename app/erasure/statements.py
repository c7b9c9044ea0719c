"""Gathers what a certificate states about a case from the rows of the case."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, undefer

from app.certificates import service, wording
from app.certificates.commitment import commit
from app.certificates.statement import (
    Attempt,
    ModelErasure,
    NoMatchCase,
    OwnPart,
    SearchedDataset,
    Times,
    UnlearnedCase,
    VersionDigest,
)
from app.erasure.first_page import first_page
from app.erasure.states import ItemState, Outcome
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    ReasonCode,
    RequestSubject,
    Run,
    UnlearnedSample,
)
from app.keyring import Keyring
from app.registry.tables import (
    Dataset,
    Model,
    ModelVersion,
    RegistrationState,
    Sample,
    SampleSplit,
    SampleSubject,
)
from app.version import code_version


def write(session: Session, keyring: Keyring, request: ErasureRequest, *, now: datetime) -> None:
    """Writes the certificate of a request that has just completed."""
    case: UnlearnedCase | NoMatchCase
    if request.outcome is Outcome.NO_MATCH:
        case = _no_match(session, request)
    else:
        case = _unlearned(session, keyring, request)
    service.write(session, case, now=now)


def _times(request: ErasureRequest) -> Times:
    assert request.completed_at is not None
    return Times(
        submitted=request.submitted_at,
        received=request.received_at,
        due=request.extended_due_at or request.due_at,
        completed=request.completed_at,
    )


def _unlearned(session: Session, keyring: Keyring, request: ErasureRequest) -> UnlearnedCase:
    assert request.outcome in (Outcome.UNLEARNED, Outcome.UNLEARNED_NOT_TESTABLE)
    items = session.scalars(
        select(ErasureItem)
        .where(ErasureItem.request_id == request.id, ErasureItem.state == ItemState.PUBLISHED)
        .order_by(ErasureItem.model_id)
    ).all()
    models = tuple(
        _erasure(session, keyring, item, session.get_one(Run, run))
        for item in items
        for run in _runs_that_unlearned(session, item)
    )
    return UnlearnedCase(
        outcome=request.outcome.value,
        models=models,
        controller=request.controller_id,
        request=request.id,
        times=_times(request),
        regulation=request.regulation,
        legal_ground=request.legal_ground,
        reason_code=request.reason_code,
        earlier_request=request.earlier_request_id,
        destruction=(),
        claims=wording.unlearned_claims(models),
        limits=wording.unlearned_limits(models),
    )


def _runs_that_unlearned(session: Session, item: ErasureItem) -> list[UUID]:
    """Usually the item's own run; more if runs for other requests took some of the samples, and
    only runs of the lineage that the published version stands in."""
    assert item.run_id is not None
    lineage = (
        select(ModelVersion.lineage_id)
        .join(Run, Run.base_version_id == ModelVersion.id)
        .where(Run.id == item.run_id)
        .scalar_subquery()
    )
    return list(
        session.scalars(
            select(UnlearnedSample.run_id)
            .distinct()
            .join(ItemSample, ItemSample.sample_id == UnlearnedSample.sample_id)
            .join(Run, Run.id == UnlearnedSample.run_id)
            .join(ModelVersion, ModelVersion.id == Run.base_version_id)
            .where(
                ItemSample.item_id == item.id,
                UnlearnedSample.model_id == item.model_id,
                ModelVersion.lineage_id == lineage,
            )
            .order_by(UnlearnedSample.run_id)
        )
    )


def _erasure(session: Session, keyring: Keyring, item: ErasureItem, run: Run) -> ModelErasure:
    # The same salt in every certificate of a run, so that they commit to one forget set.
    salt = keyring.digest("forget-set", run.id.bytes)
    whole = (
        select(Sample.sample_ref)
        .join(UnlearnedSample, UnlearnedSample.sample_id == Sample.id)
        .where(UnlearnedSample.run_id == run.id)
    )
    own = whole.join(ItemSample, ItemSample.sample_id == Sample.id).where(
        ItemSample.item_id == item.id
    )
    held_out = session.scalars(
        select(func.count())
        .select_from(ItemSample)
        .join(Sample, Sample.id == ItemSample.sample_id)
        .where(ItemSample.item_id == item.id, Sample.split != SampleSplit.TRAIN)
    ).one()
    attempts = _attempts(session, run)
    deciding = attempts[-1]
    detail = deciding.verdict_detail or {}
    return ModelErasure(
        model=item.model_id,
        name=session.get_one(Model, item.model_id).name,
        base=_digest_of(session, run.base_version_id),
        published=_published_by(session, run),
        forget_set=commit(session.scalars(whole), salt),
        own=OwnPart(
            commitment=commit(session.scalars(own), salt),
            held_out_count=held_out,
            figures=item.numbers if item.run_id == run.id else None,
        ),
        attempts=tuple(_attempt(attempt) for attempt in attempts),
        verdict=detail["name"],
        verdict_sentence=detail["sentence"],
        report={k: v for k, v in (deciding.metrics or {}).items() if k != "persons"},
        policy=detail["policy"],
        recipient_count=None,
    )


def _attempts(session: Session, run: Run) -> list[Run]:
    """The runs that led to this one, first to last."""
    chain: list[Run] = []
    following: UUID | None = run.id
    while following is not None:
        chain.append(
            session.scalars(
                select(Run)
                .where(Run.id == following)
                .options(undefer(Run.metrics), undefer(Run.verdict_detail))
            ).one()
        )
        following = chain[-1].follows_id
    return chain[::-1]


def _attempt(run: Run) -> Attempt:
    return Attempt(
        run=run.id,
        follows=run.follows_id,
        rung=run.rung,
        state=run.state,
        method=run.method,
        mode=run.mode,
        config=run.config,
        seed=run.seed,
        code_version=run.code_version or code_version(),
        device=run.device,
        started=run.started_at,
        finished=run.finished_at,
        verdict=run.verdict,
        first_page=first_page(run.metrics) if run.metrics else None,
    )


def _published_by(session: Session, run: Run) -> VersionDigest:
    version = session.scalars(select(ModelVersion.id).where(ModelVersion.run_id == run.id)).one()
    return _digest_of(session, version)


def _digest_of(session: Session, version_id: UUID) -> VersionDigest:
    version = session.get_one(ModelVersion, version_id)
    return VersionDigest(version=version.id, number=version.number, sha256=version.artifact_sha256)


def _no_match(session: Session, request: ErasureRequest) -> NoMatchCase:
    subjects = session.scalars(
        select(RequestSubject).where(RequestSubject.request_id == request.id)
    ).all()
    asked = {subject.identity_type for subject in subjects}
    datasets = session.scalars(
        select(Dataset)
        .where(
            Dataset.controller_id == request.controller_id,
            Dataset.state == RegistrationState.READY,
        )
        .order_by(Dataset.id)
    ).all()
    searched = tuple(
        SearchedDataset(
            dataset=dataset.id, sha256=dataset.upload_sha256, identity_types=tuple(sorted(types))
        )
        for dataset in datasets
        if (types := asked & {column["type"] for column in dataset.subject_columns})
    )
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
    return NoMatchCase(
        outcome="no_match",
        code_version=code_version(),
        searched=searched,
        identity_count=identity_count,
        held_out_count=held_out,
        searched_at=request.received_at,
        controller=request.controller_id,
        request=request.id,
        times=_times(request),
        regulation=request.regulation,
        legal_ground=request.legal_ground,
        reason_code=request.reason_code,
        earlier_request=request.earlier_request_id,
        destruction=(),
        claims=wording.no_match_claims(
            searched,
            identity_count=identity_count,
            held_out_count=held_out,
            previously_unlearned=request.reason_code is ReasonCode.PREVIOUSLY_UNLEARNED,
        ),
        limits=wording.no_match_limits(),
    )
