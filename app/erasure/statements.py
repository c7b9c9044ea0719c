"""Gathers what a certificate states about a case from the rows of the case."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, undefer

from app.certificates import service, wording
from app.certificates.commitment import Commitment, commit_leaves, leaf_of
from app.certificates.statement import (
    AnyCase,
    Attempt,
    ModelErasure,
    OwnPart,
    UnlearnedCase,
    VersionDigest,
)
from app.erasure import announcing, other_ends, reach
from app.erasure.first_page import first_page
from app.erasure.no_match import case_facts, no_match_case
from app.erasure.other_ends import Completed
from app.erasure.states import ItemState, Outcome, RequestState
from app.erasure.subjects import counts_in
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    Run,
    UnlearnedSample,
)
from app.erasure.transitions import Event
from app.keyring import Keyring
from app.registry import pulls
from app.registry.tables import (
    Model,
    ModelVersion,
    Sample,
    SampleSplit,
)
from app.version import code_version


@dataclass(frozen=True)
class RunFacts:
    """What the certificates of all requests that shared a run have in common."""

    base: VersionDigest
    published: VersionDigest
    salt: bytes
    forget_set: Commitment
    attempts: tuple[Attempt, ...]
    verdict: str
    sentence: str
    report: dict[str, Any]
    policy: dict[str, Any]


class Statements:
    """Writes the certificates of requests that complete in one transaction.

    A run may have served hundreds of them: what they share is gathered once.
    """

    def __init__(self, session: Session, keyring: Keyring) -> None:
        self._session = session
        self._keyring = keyring
        self._runs: dict[UUID, RunFacts] = {}

    def write(self, request: ErasureRequest, *, now: datetime) -> None:
        """The certificate of a request that has just completed, or has just been refused."""
        case: AnyCase
        if request.state is RequestState.REFUSED:
            models = _published(self._session, request, self._facts)
            case = other_ends.refused_case(self._session, request, models, now=now)
        elif request.outcome is Outcome.NO_MATCH:
            case = no_match_case(self._session, request)
        else:
            case = _unlearned(self._session, request, self._facts)
        written = service.write(self._session, case, now=now)
        announcing.certificate_written(self._session, request.controller_id, written, now=now)
        if request.state is RequestState.REFUSED:
            announcing.over(self._session, request, now=now)

    def write_reopened(
        self, request: ErasureRequest, before: Completed, event: Event, *, now: datetime
    ) -> None:
        """For a case that was completed until now: what was stated of its end no longer holds."""
        case = other_ends.reopened_case(self._session, request, before, event, now=now)
        written = service.write(self._session, case, now=now)
        announcing.certificate_written(self._session, request.controller_id, written, now=now)

    def _facts(self, run: UUID) -> RunFacts:
        if run not in self._runs:
            self._runs[run] = _run_facts(self._session, self._keyring, run)
        return self._runs[run]


def _unlearned(
    session: Session, request: ErasureRequest, facts_of: Callable[[UUID], RunFacts]
) -> UnlearnedCase:
    assert request.outcome is not None and request.outcome is not Outcome.NO_MATCH
    models = _published(session, request, facts_of)
    return UnlearnedCase(
        outcome=request.outcome.value,
        models=models,
        **case_facts(request, rows=True, weights=[model.base.sha256 for model in models]),
        claims=wording.unlearned_claims(
            models, accepted=request.outcome is Outcome.UNLEARNED_ACCEPTED
        ),
        limits=wording.unlearned_limits(models, chosen=request.model_scope is not None),
    )


def _published(
    session: Session, request: ErasureRequest, facts_of: Callable[[UUID], RunFacts]
) -> tuple[ModelErasure, ...]:
    items = session.scalars(
        select(ErasureItem)
        .where(ErasureItem.request_id == request.id, ErasureItem.state == ItemState.PUBLISHED)
        .order_by(ErasureItem.model_id)
    ).all()
    return tuple(
        _erasure(session, item, run, facts_of(run))
        for item in items
        for run in _runs_that_unlearned(session, item)
    )


def _runs_that_unlearned(session: Session, item: ErasureItem) -> list[UUID]:
    """Usually the item's own run; more if runs for other requests took some of the samples, and
    only runs of the lineage that the published version stands in."""
    assert item.run_id is not None
    lineage = (
        select(ModelVersion.lineage_id).where(ModelVersion.run_id == item.run_id).scalar_subquery()
    )
    return list(
        session.scalars(
            select(UnlearnedSample.run_id)
            .distinct()
            .join(ItemSample, ItemSample.sample_id == UnlearnedSample.sample_id)
            .where(
                ItemSample.item_id == item.id,
                UnlearnedSample.model_id == item.model_id,
                counts_in(lineage),
            )
            .order_by(UnlearnedSample.run_id)
        )
    )


def _run_facts(session: Session, keyring: Keyring, run_id: UUID) -> RunFacts:
    attempts = _attempts(session, run_id)
    run = attempts[-1]
    detail = run.verdict_detail or {}
    salt = keyring.forget_set_salt(run.id)
    return RunFacts(
        base=_digest_of(session, run.base_version_id),
        published=_published_by(session, run),
        salt=salt,
        forget_set=_commit(session, _forgotten_by(run.id), salt),
        attempts=tuple(_attempt(attempt) for attempt in attempts),
        verdict=detail["name"],
        sentence=detail["sentence"],
        report={k: v for k, v in (run.metrics or {}).items() if k != "persons"},
        # How many runs share the tests' level is no setting, and decides as much as one.
        policy={**detail["policy"], "runs_in_30_days": detail.get("runs_in_30_days")},
    )


def _erasure(session: Session, item: ErasureItem, run: UUID, facts: RunFacts) -> ModelErasure:
    own = _forgotten_by(run).join(ItemSample, ItemSample.sample_id == Sample.id)
    held_out = session.scalars(
        select(func.count())
        .select_from(ItemSample)
        .join(Sample, Sample.id == ItemSample.sample_id)
        .where(ItemSample.item_id == item.id, Sample.split != SampleSplit.TRAIN)
    ).one()
    knowing = [version.id for version in reach.versions_that_know(session, item)]
    return ModelErasure(
        model=item.model_id,
        name=session.get_one(Model, item.model_id).name,
        base=facts.base,
        published=facts.published,
        forget_set=facts.forget_set,
        own=OwnPart(
            commitment=_commit(session, own.where(ItemSample.item_id == item.id), facts.salt),
            held_out_count=held_out,
            figures=item.numbers if item.run_id == run else None,
        ),
        attempts=facts.attempts,
        verdict=facts.verdict,
        verdict_sentence=facts.sentence,
        report=facts.report,
        policy=facts.policy,
        recipient_count=pulls.count_recipients(session, knowing),
    )


def _commit(session: Session, forgotten: Select[bytes, bytes | None], salt: bytes) -> Commitment:
    leaves = (leaf or leaf_of(ref, salt) for ref, leaf in session.execute(forgotten))
    return commit_leaves(leaves, salt)


def _forgotten_by(run: UUID) -> Select[bytes, bytes | None]:
    return (
        select(Sample.sample_ref, UnlearnedSample.leaf)
        .join(UnlearnedSample, UnlearnedSample.sample_id == Sample.id)
        .where(UnlearnedSample.run_id == run)
    )


def _attempts(session: Session, run: UUID) -> list[Run]:
    """The runs that led to this one, first to last."""
    chain: list[Run] = []
    following: UUID | None = run
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
        step=run.step,
        state=run.state,
        method=run.method,
        mode=run.mode,
        config=run.config or run.settings,
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
