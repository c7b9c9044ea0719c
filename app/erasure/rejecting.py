"""The end of a run that its tests rejected: nothing is published, and the ladder goes on."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.erasure import breaker, completion, forming, ladder, publishing
from app.erasure.first_page import first_page
from app.erasure.locks import Fence, items_of
from app.erasure.publishing import Judged, Weights
from app.erasure.states import ItemState, RunState
from app.erasure.tables import Run
from app.erasure.transitions import Cause, Event, move_item, move_run
from app.ids import controller_id, model_id, run_id, version_id
from app.keyring import Keyring
from app.registry.policy import Policy, TrainingRecipe
from app.registry.tables import Model, VersionState


def reject(
    session: Session,
    keyring: Keyring,
    fence: Fence,
    weights: Weights,
    judged: Judged,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Publishes and marks nothing, and queues the next rung of the ladder with the same items;
    where there is none, they wait for a person. The candidate is kept either way."""
    run, model, base = publishing.hold_still(session, fence)
    cause = Cause(Event.REJECTED, actor, now)
    version = publishing.new_version(session, model, base, run, weights, VersionState.REJECTED, now)
    breaker.close(session, model, cause)
    following = _next_rung(run, model, judged)
    judged = replace(judged, detail={**judged.detail, "next": following.describe()})
    publishing.record(session, run, judged)
    log.append(
        session,
        kinds.CandidateKept(
            controller=controller_id(model.controller_id),
            model=model_id(model.id),
            version=version_id(version.id),
            number=version.number,
            run=run_id(run.id),
            sha256=version.artifact_sha256,
            verdict=judged.verdict,
        ),
        now=now,
    )
    move_run(
        session,
        run,
        RunState.REJECTED,
        cause,
        controller=model.controller_id,
        candidate_version_id=version.id,
        verdict=judged.verdict,
    )
    items = items_of(session, run)
    to = ItemState.NEEDS_DECISION
    if following.recipe is not None:
        to, cause = ItemState.SCHEDULED, Cause(Event.NEXT_RUNG, actor, now)
    for item in items:
        numbers = dict(judged.persons[item.id])
        move_item(session, item, to, cause, controller=model.controller_id, numbers=numbers)
    if following.recipe is not None and following.step is not None:
        forming.form_run(
            session,
            model,
            items,
            following.recipe,
            cause,
            follows=run,
            rung=run.rung + 1,
            step=following.step,
        )
    completion.settle(session, keyring, {item.request_id for item in items}, cause)


def _next_rung(run: Run, model: Model, judged: Judged) -> ladder.Next:
    recipe = model.training_recipe
    return ladder.next_rung(
        ladder.Rejected(
            step=run.step,
            method=run.method,
            mode=run.mode,
            settings=run.settings,
            config=run.config,
            verdict=judged.verdict,
            utility_held=bool(judged.detail.get("utility_held")),
            auc=first_page(judged.report).auc_after,
        ),
        Policy.model_validate(model.policy).ladder,
        None if recipe is None else TrainingRecipe.model_validate(recipe),
    )
