"""What must hold after every step, whatever the steps were. Each function reads one session."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.certificates.tables import Certificate
from app.certificates.verify import read_statement
from app.erasure import forming, subjects
from app.erasure.deadlines import LAWS, due_at
from app.erasure.due_dates import pauses_of
from app.erasure.recheck_tables import LIVE, Recheck, RecheckCase, RecheckState
from app.erasure.states import (
    ITEM,
    KEPT_BACK,
    LIVE_RUN,
    REQUEST,
    ItemState,
    Owner,
    RequestState,
    RunState,
    request_state_of,
)
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    RequestSubject,
    Run,
    RunItem,
    UnlearnedSample,
)
from app.ids import item_id, model_id, request_id, run_id, version_id
from app.registry.tables import (
    Model,
    ModelVersion,
    Sample,
    SampleSplit,
    SampleSubject,
    VersionState,
)
from tests.erasure.replay import Replay, entries

HUMAN = (Owner.DECIDER, Owner.CONTROLLER)


def all_hold(session: Session, first: Mapping[str, str]) -> None:
    one_live_run_a_model(session)
    one_published_version_a_run(session)
    published_forget_sets_hold_only_samples_of_their_items(session)
    what_is_published_is_unlearned_in_full(session)
    what_is_published_counts_as_unlearned_where_it_is_served(session)
    one_live_recheck_a_model(session)
    every_relapse_is_counted_and_has_figures(session)
    live_runs_see_no_sample_of_a_finished_or_an_open_case(session)
    requests_say_what_their_items_say(session)
    what_is_kept_back_is_in_no_run_and_in_no_set(session)
    clocks_stand_still_only_on_hold(session)
    the_log_explains_the_tables(session, first)


def one_live_run_a_model(session: Session) -> None:
    live = session.scalars(select(Run.model_id).where(Run.state.in_(LIVE_RUN))).all()
    assert len(live) == len(set(live))


def one_published_version_a_run(session: Session) -> None:
    by_run = Counter(
        session.scalars(
            select(ModelVersion.run_id).where(
                ModelVersion.run_id.is_not(None), ModelVersion.published_at.is_not(None)
            )
        )
    )
    succeeded = set(session.scalars(select(Run.id).where(Run.state == RunState.SUCCEEDED)))
    assert by_run == Counter(succeeded)
    active = session.scalars(
        select(ModelVersion.model_id).where(ModelVersion.state == VersionState.ACTIVE)
    ).all()
    assert sorted(active) == sorted(session.scalars(select(Model.id)))


def what_is_published_is_unlearned_in_full(session: Session) -> None:
    """By its own run, or by another of the same lineage that was faster."""
    for run in session.scalars(select(Run).where(Run.state == RunState.SUCCEEDED)):
        lineage = select(ModelVersion.lineage_id).where(ModelVersion.id == run.base_version_id)
        unlearned = set(
            session.scalars(
                select(UnlearnedSample.sample_id)
                .join(Run, Run.id == UnlearnedSample.run_id)
                .join(ModelVersion, ModelVersion.id == Run.base_version_id)
                .where(
                    UnlearnedSample.model_id == run.model_id,
                    ModelVersion.lineage_id == lineage.scalar_subquery(),
                )
            )
        )
        assert _frozen_samples(session, run) <= unlearned, run.id


def what_is_published_counts_as_unlearned_where_it_is_served(session: Session) -> None:
    """In the current version's lineage, with no version taken back and no sample relapsed since."""
    current = {
        version.model_id: version.lineage_id
        for version in session.scalars(
            select(ModelVersion).where(ModelVersion.state == VersionState.ACTIVE)
        )
    }
    for item in session.scalars(
        select(ErasureItem)
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(ErasureItem.state == ItemState.PUBLISHED, ErasureRequest.closed_at.is_(None))
    ):
        known = session.scalars(
            select(Sample.id)
            .join(ItemSample, ItemSample.sample_id == Sample.id)
            .where(ItemSample.item_id == item.id, Sample.split == SampleSplit.TRAIN)
            .where(Sample.destroyed_at.is_(None))
            .where(~subjects.is_unlearned(item.model_id, current[item.model_id]))
        ).all()
        assert not known, item.id


def one_live_recheck_a_model(session: Session) -> None:
    live = session.scalars(select(Recheck.model_id).where(Recheck.state.in_(LIVE))).all()
    assert len(live) == len(set(live))


def every_relapse_is_counted_and_has_figures(session: Session) -> None:
    """A relapsed case is one of a re-check that is done, with its figures, and with an entry."""
    cases = session.scalars(select(RecheckCase).where(RecheckCase.relapsed)).all()
    assert all(case.change is not None and case.skipped is None for case in cases)
    by_state = {row.id: row for row in session.scalars(select(Recheck))}
    assert all(by_state[case.recheck_id].state is RecheckState.DONE for case in cases)
    assert Counter(case.recheck_id for case in cases) == Counter(
        {key: row.relapsed_count for key, row in by_state.items() if row.relapsed_count}
    )
    by_item = Counter(case.item_id for case in cases)
    counted = {item.id: item.relapses for item in session.scalars(select(ErasureItem))}
    assert by_item == Counter({item: count for item, count in counted.items() if count})
    told = Counter(
        entry["facts"]["item"]
        for entry in entries(session)
        if entry["kind"] == "erasure:case:relapsed"
    )
    assert told == Counter({item_id(item): count for item, count in by_item.items()})


def published_forget_sets_hold_only_samples_of_their_items(session: Session) -> None:
    for run in session.scalars(select(Run).where(Run.state == RunState.SUCCEEDED)):
        forgotten = set(
            session.scalars(
                select(UnlearnedSample.sample_id).where(UnlearnedSample.run_id == run.id)
            )
        )
        assert forgotten
        assert forgotten <= _frozen_samples(session, run), run.id


def live_runs_see_no_sample_of_a_finished_or_an_open_case(session: Session) -> None:
    """What a run would be trained with and tested on, as a worker reads it now."""
    for run in session.scalars(select(Run).where(Run.state.in_(LIVE_RUN))):
        model = session.get_one(Model, run.model_id)
        states = session.scalars(
            select(ErasureItem.state)
            .join(RunItem, RunItem.item_id == ErasureItem.id)
            .where(RunItem.run_id == run.id)
        ).all()
        assert states and not any(ITEM[state].ends for state in states)
        forget = forming.forget_samples(session, run)
        assert forget and forget <= _frozen_samples(session, run)
        excluded = subjects.excluded_samples(session, model.id, model.dataset_id) | forget
        others = set(
            session.scalars(select(Sample.id).where(Sample.dataset_id == model.dataset_id))
        )
        seen = others - excluded
        finished = session.scalars(
            select(ItemSample.sample_id)
            .join(ErasureItem, ErasureItem.id == ItemSample.item_id)
            .where(ErasureItem.model_id == model.id, ErasureItem.state == ItemState.PUBLISHED)
        )
        assert not seen & set(finished)
        assert not seen & _unlearned(session, model)
        assert not seen & _frozen_samples(session, run)


def requests_say_what_their_items_say(session: Session) -> None:
    for request in session.scalars(select(ErasureRequest)):
        items = session.scalars(
            select(ErasureItem.state).where(ErasureItem.request_id == request.id)
        ).all()
        if items and request.state not in (RequestState.CANCELLED, RequestState.REFUSED):
            held, unapproved = request.hold_reason is not None, request.is_unapproved
            said = request_state_of(list(items), held=held, unapproved=unapproved)
            assert request.state is said
        if request.state in (RequestState.CANCELLED, RequestState.REFUSED):
            assert all(ITEM[state].ends for state in items)
        if request.state is RequestState.CANCELLED:
            assert ItemState.PUBLISHED not in items


def what_is_kept_back_is_in_no_run_and_in_no_set(session: Session) -> None:
    """Of an unapproved request only what a run took before a later model asked goes on."""
    kept = select(ErasureRequest.id).where(ErasureRequest.state.in_(KEPT_BACK))
    for item, state, run in session.execute(
        select(ErasureItem, ErasureRequest.state, Run)
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .outerjoin(Run, Run.id == ErasureItem.run_id)
        .where(ErasureItem.request_id.in_(kept))
    ):
        if state is RequestState.ON_HOLD:
            assert run is None or run.state not in LIVE_RUN or ITEM[item.state].ends
            assert item.state is not ItemState.RUNNING
        model = session.get_one(Model, item.model_id)
        own = (
            select(Sample.id)
            .join(SampleSubject, SampleSubject.sample_id == Sample.id)
            .join(RequestSubject, RequestSubject.subject_ref == SampleSubject.subject_ref)
            .where(
                RequestSubject.request_id == item.request_id,
                Sample.dataset_id == model.dataset_id,
            )
        )
        excluded = subjects.excluded_samples(session, model.id, model.dataset_id)
        assert set(session.scalars(own)) <= excluded


def clocks_stand_still_only_on_hold(session: Session) -> None:
    for request in session.scalars(select(ErasureRequest)):
        assert (request.hold_reason is not None) == (request.state is RequestState.ON_HOLD)
        assert request.paused_since is None or request.hold_reason is not None
        assert request.held_until is None or request.hold_reason is not None
        law, pauses = LAWS[request.regulation], pauses_of(request)
        assert request.due_at == due_at(request.submitted_at, law, pauses=pauses)
        if request.extended_due_at is not None:
            longer = due_at(request.submitted_at, law, extended=True, pauses=pauses)
            assert request.extended_due_at == longer


def the_log_explains_the_tables(session: Session, first: Mapping[str, str]) -> Replay:
    """`first` maps a model to the version that it had before the log began."""
    versions = {version.id: version for version in session.scalars(select(ModelVersion))}
    lineages = {version_id(key): versions[row.lineage_id].number for key, row in versions.items()}
    replay = Replay(dict(first), lineages).over(entries(session))
    assert replay.requests == {
        request_id(row.id): row.state for row in session.scalars(select(ErasureRequest))
    }
    assert replay.items == {
        item_id(row.id): row.state for row in session.scalars(select(ErasureItem))
    }
    assert replay.runs == {
        run_id(row.id): (row.state, row.attempt) for row in session.scalars(select(Run))
    }
    assert replay.current == {
        model_id(row.model_id): version_id(row.id)
        for row in versions.values()
        if row.state is VersionState.ACTIVE
    }
    counted = session.execute(
        select(UnlearnedSample.run_id, func.count()).group_by(UnlearnedSample.run_id)
    )
    assert {one.run: one.forget_count for one in replay.published} == {
        run_id(run): count for run, count in counted
    }
    written = session.execute(select(Certificate.request_id, Certificate.payload)).all()
    assert dict(Counter(request_id(request) for request, _ in written)) == replay.certified
    for _, payload in written:
        read_statement(payload)  # no reader would refuse it
    return replay


def every_request_has_ended_or_waits_for_a_person(session: Session) -> None:
    for state in session.scalars(select(ErasureRequest.state)):
        assert REQUEST[state].ends or REQUEST[state].owner in HUMAN, state
    assert not session.scalar(select(func.count()).where(Run.state.in_(LIVE_RUN)))


def _frozen_samples(session: Session, run: Run) -> set[int]:
    """Training samples of the items that the run was formed with."""
    return set(
        session.scalars(
            select(ItemSample.sample_id)
            .join(RunItem, RunItem.item_id == ItemSample.item_id)
            .join(Sample, Sample.id == ItemSample.sample_id)
            .where(RunItem.run_id == run.id, Sample.split == SampleSplit.TRAIN)
        )
    )


def _unlearned(session: Session, model: Model) -> set[int]:
    query = select(UnlearnedSample.sample_id).where(UnlearnedSample.model_id == model.id)
    return set(session.scalars(query))
