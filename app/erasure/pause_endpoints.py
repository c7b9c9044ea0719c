"""`/models/{id}/resume`: a person lifts the pause of a model whose runs kept failing."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.bell import ring_after_commit
from app.erasure import breaker
from app.erasure.transitions import Cause, Event
from app.http.sessions import CurrentRuntime, Now, WriteSession
from app.ids import ModelId
from app.keys.auth import Caller, require
from app.keys.scopes import Scope
from app.registry import lookup, views
from app.registry.locks import lock_model
from app.registry.schemas import ModelView

router = APIRouter(prefix="/models", tags=["models"])

Decider = Annotated[Caller, Depends(require(Scope.REQUESTS_DECIDE))]


@router.post("/{model}/resume")
def resume_model(
    model: ModelId, caller: Decider, session: WriteSession, runtime: CurrentRuntime, now: Now
) -> ModelView:
    """Lets runs of the model begin again at once. A model that is not paused stays as it is."""
    lookup.get_model(session, model, controller=caller.controller_id)
    held = lock_model(session, model)
    assert held is not None, "a plain lock waits"
    breaker.lift(session, held, Cause(Event.RETRIED, caller.actor, now))
    ring_after_commit(session, runtime.settings)
    return views.model(held, lookup.current_versions(session, [model]).get(model))
