"""`/session`: a key is shown once, and a cookie stands for it in a browser."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from app.http.origins import require_own_page
from app.http.sessions import CurrentRuntime, Now, ReadSession, WriteSession
from app.keys import cookies, sessions
from app.keys.auth import Caller, authenticate, count_call, find_caller
from app.keys.schemas import ControllerNamed, KeyNamed, LogIn, SessionView
from app.keys.tables import ApiKey, Controller
from app.runtime import Runtime

router = APIRouter(prefix="/session", tags=["keys"])


async def _shower(body: LogIn, request: Request, runtime: CurrentRuntime, now: Now) -> Caller:
    """Whose key the body shows."""
    caller = await find_caller(request, runtime, body.key, now=now)
    await count_call(request, caller)
    return caller


async def _from_own_page(request: Request, runtime: CurrentRuntime) -> None:
    """Else another site could log its visitors in, or out."""
    require_own_page(request, runtime.settings.public_url)


@router.post("", status_code=201, dependencies=[Depends(_from_own_page)])
def log_in(
    request: Request,
    response: Response,
    runtime: CurrentRuntime,
    caller: Annotated[Caller, Depends(_shower)],
    session: WriteSession,
    now: Now,
) -> SessionView:
    """For a browser: shows a key once, and sets a cookie that stands for it, for some hours. A
    session that the browser had before ends. The call must come from a page of this service."""
    life = timedelta(hours=runtime.settings.session_hours)
    opened, token = sessions.open_session(
        session, runtime.keyring, caller.key_id, life=life, now=now
    )
    _end_shown(request, runtime, session)
    cookies.hand_out(
        response,
        request,
        runtime.settings.public_url,
        token,
        expires_at=opened.expires_at,
        now=now,
    )
    return _view(session, caller, opened.expires_at)


@router.get("")
def get_session(
    caller: Annotated[Caller, Depends(authenticate)], session: ReadSession
) -> SessionView:
    """Who you are to the service, with a key or by a session, and until when."""
    return _view(session, caller, caller.until)


@router.delete(
    "",
    status_code=204,
    dependencies=[Depends(_from_own_page), Depends(cookies.session_cookie)],
)
def log_out(
    request: Request, response: Response, runtime: CurrentRuntime, session: WriteSession
) -> None:
    """Ends the session of the cookie, and removes the cookie. Does nothing where there is none."""
    _end_shown(request, runtime, session)
    cookies.take_back(response, request, runtime.settings.public_url)


def _end_shown(request: Request, runtime: Runtime, session: Session) -> None:
    tokens = cookies.shown(request, runtime.settings.public_url)
    if not tokens:
        return
    # Read apart: whoever shows tokens that were never given waits for no turn to write.
    with runtime.database.read() as reading:
        known = sessions.with_tokens(reading, runtime.keyring, tokens)
    sessions.end(session, known)


def _view(session: Session, caller: Caller, expires_at: datetime | None) -> SessionView:
    key = session.get_one(ApiKey, caller.key_id)
    controller = session.get_one(Controller, caller.controller_id)
    return SessionView(
        key=KeyNamed(id=key.id, name=key.name),
        controller=ControllerNamed(id=controller.id, name=controller.name),
        scopes=sorted(caller.scopes),
        expires_at=expires_at,
    )
