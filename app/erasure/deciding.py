"""What a person does with an item that the service could not finish by itself.

A run may have worked for several persons, so a retry and an acceptance concern every item that
waits with this one; a refusal concerns this item alone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.erasure import breaker, completion, forming, ladder, publishing, refusing
from app.erasure.ladder import Recipe
from app.erasure.locks import items_of, lock_items
from app.erasure.states import KEPT_BACK, LIVE_RUN, ItemState, RunState, RunStep
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    ItemSample,
    ReasonCode,
    Run,
    RunItem,
    UnlearnedSample,
)
from app.erasure.transitions import Cause, Event, IllegalMove, move_item
from app.http.problems import InvalidInput, NotFound, Problem, field_errors
from app.keyring import Keyring
from app.registry.locks import lock_model
from app.registry.method_settings import Method, checked, execution_of
from app.registry.policy import Policy, TrainingRecipe
from app.registry.tables import Model, ModelVersion, VersionState

_WAITING = (ItemState.NEEDS_DECISION, ItemState.FAILED)


class ModelBusy(Problem):
    status = 409
    code = "model-busy"
    title = "The model has a run at present"


class NoTrainingRecipe(Problem):
    status = 409
    code = "no-training-recipe"
    title = "The model has no training recipe"


class CandidateDestroyed(Problem):
    status = 409
    code = "candidate-destroyed"
    title = "The candidate's weights are no longer kept"


class CandidateOutdated(Problem):
    status = 409
    code = "candidate-outdated"
    title = "The candidate can no longer be published"


def decide(
    session: Session,
    keyring: Keyring,
    request: ErasureRequest,
    item_id: UUID,
    action: str,
    *,
    method: Method | None = None,
    settings: dict[str, Any] | None,
    reason_code: ReasonCode | None,
    actor: str,
    now: datetime,
) -> None:
    item = session.get(ErasureItem, item_id)
    if item is None or item.request_id != request.id:
        raise NotFound("The request has no such item.")
    model = lock_model(session, item.model_id)
    assert model is not None
    session.refresh(item)  # somebody else may have decided while this call waited
    session.refresh(request)
    if request.state in KEPT_BACK:
        raise IllegalMove(
            f"The request is {request.state}: nothing of it is decided before that has ended."
        )
    if item.state not in _WAITING:
        raise IllegalMove(
            f"The item is {item.state}; a decision is asked for only while it is "
            f"{' or '.join(_WAITING)}."
        )
    if action != "retry" and (method is not None or settings is not None):
        raise InvalidInput(f"Only a retry takes a method and settings, not {action}.")
    again = Cause(Event.RETRIED, actor, now)
    if action == "retry":
        run = _run_of(session, item)
        chosen = _chosen(run, model, method, settings)
        _run_again(session, keyring, item, run, model, chosen, again)
    elif action == "retrain":
        run = _run_of(session, item)
        _run_again(session, keyring, item, run, model, _retraining(model), again)
    elif action == "accept":
        _accept(session, keyring, item, Cause(Event.ACCEPTED, actor, now))
    else:
        _refuse(session, keyring, request, item, reason_code, Cause(Event.REFUSED, actor, now))


def _chosen(
    run: Run, model: Model, method: Method | None, settings: dict[str, Any] | None
) -> tuple[Recipe, RunStep]:
    """What a retry computes. What a person chooses stands for itself: no ladder follows on it."""
    policy = Policy.model_validate(model.policy)
    if method is None and settings is None and run.state is RunState.FAILED:
        # Nothing was measured: the same again, and the ladder goes on from where it was.
        return forming.recipe_after_failure(run, policy), run.step
    asked = method or policy.method
    base = policy.settings if asked is policy.method else execution_of(policy.settings)
    try:
        taken = checked(asked, settings or {})
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        faults = field_errors([{**one, "loc": ("body", "settings", *one["loc"])} for one in found])
        raise InvalidInput("The method does not take these settings.", errors=faults) from None
    mode = ladder.mode_of(asked, policy.mode)
    return Recipe(asked, mode, {**base, **taken}), RunStep.DECISION


def _retraining(model: Model) -> tuple[Recipe, RunStep]:
    if model.training_recipe is None:
        raise NoTrainingRecipe(
            "Nobody has said how this model was trained, when it was registered."
        )
    recipe = TrainingRecipe.model_validate(model.training_recipe)
    execution = execution_of(Policy.model_validate(model.policy).settings)
    return ladder.exact(recipe, execution), RunStep.RETRAIN


def _run_again(
    session: Session,
    keyring: Keyring,
    item: ErasureItem,
    run: Run,
    model: Model,
    chosen: tuple[Recipe, RunStep],
    cause: Cause,
) -> None:
    """A new run with the same items; one rung up after a rejection, since every test is a little
    stricter for it. An item that relapsed runs alone. A person who wants it lifts the model's pause
    with it."""
    if session.scalar(select(exists().where(Run.model_id == model.id, Run.state.in_(LIVE_RUN)))):
        raise ModelBusy(
            "Decide when the model's present run has ended.", headers={"Retry-After": "60"}
        )
    breaker.lift(session, model, cause)
    recipe, step = chosen
    relapsed = run.state is RunState.SUCCEEDED
    # A run that was published waits with nobody: its other persons' cases stand.
    items = lock_items(session, [item.id]) if relapsed else _waiting_with(session, run)
    for waiting in items:
        move_item(
            session,
            waiting,
            ItemState.SCHEDULED,
            cause,
            controller=model.controller_id,
            error_class=None,
        )
    forming.form_run(
        session,
        model,
        items,
        recipe,
        cause,
        follows=None if relapsed else run,
        rung=0 if relapsed else run.rung + (run.state is RunState.REJECTED),
        step=step,
    )
    completion.settle(session, keyring, {waiting.request_id for waiting in items}, cause)


def _accept(session: Session, keyring: Keyring, item: ErasureItem, cause: Cause) -> None:
    run = _run_of(session, item)
    if run.state is RunState.SUCCEEDED:
        raise IllegalMove(
            "The case relapsed: what could be accepted is served already. Retry, retrain or refuse."
        )
    if run.state is not RunState.REJECTED:
        raise IllegalMove("The run failed and left no candidate to accept; retry or refuse.")
    assert run.candidate_version_id is not None
    candidate = session.get_one(ModelVersion, run.candidate_version_id, populate_existing=True)
    if candidate.state is VersionState.DESTROYED:
        raise CandidateDestroyed("They are kept until the due date at most. Retry or refuse.")
    if len(_waiting_with(session, run)) != len(items_of(session, run)):
        raise CandidateOutdated(
            "A request whose samples this candidate unlearned was cancelled, refused or put on "
            "hold since. Retry without them."
        )
    if _knows_again(session, run):
        raise CandidateOutdated(
            "A re-check has found since that its base version knows some of the samples again, "
            "which the candidate has not unlearned. Retry."
        )
    if publishing.accept_candidate(session, keyring, run, cause) is RunState.SUPERSEDED:
        raise CandidateOutdated(
            "The model has a newer version than the one it started from. Retry."
        )


def _knows_again(session: Session, run: Run) -> bool:
    """A run in progress starts again by itself. This one has long ended, so that the clocks of two
    machines decide nothing."""
    relapsed = (
        select(UnlearnedSample.sample_id)
        .join(ItemSample, ItemSample.sample_id == UnlearnedSample.sample_id)
        .join(RunItem, RunItem.item_id == ItemSample.item_id)
        .where(RunItem.run_id == run.id, UnlearnedSample.model_id == run.model_id)
        .where(UnlearnedSample.relapsed_at > run.created_at)
    )
    return session.scalar(relapsed.limit(1)) is not None


def _refuse(
    session: Session,
    keyring: Keyring,
    request: ErasureRequest,
    item: ErasureItem,
    reason_code: ReasonCode | None,
    cause: Cause,
) -> None:
    reason_code = refusing.check_reason(reason_code)
    (item,) = lock_items(session, [item.id])
    move_item(
        session,
        item,
        ItemState.REFUSED,
        cause,
        controller=request.controller_id,
        reason_code=reason_code,
    )
    completion.settle(session, keyring, [request.id], cause)


def _waiting_with(session: Session, run: Run) -> Sequence[ErasureItem]:
    """Items that wait for a decision on this run, save those whose request is held back: one that
    was held may be left here while the others went on, and wait for what came of a later run."""
    items = [item for item in items_of(session, run) if item.run_id == run.id]
    held_back = set(
        session.scalars(
            select(ErasureRequest.id).where(
                ErasureRequest.id.in_([item.request_id for item in items]),
                ErasureRequest.state.in_(KEPT_BACK),
            )
        )
    )
    return [item for item in items if item.state in _WAITING and item.request_id not in held_back]


def _run_of(session: Session, item: ErasureItem) -> Run:
    """Locked; the caller holds the model."""
    assert item.run_id is not None, "an item comes here from a run"
    return session.scalars(
        select(Run)
        .where(Run.id == item.run_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
