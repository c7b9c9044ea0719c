"""Who calls: `Depends(require(Scope.X))` gives the caller or answers 401 or 403."""

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.http.origins import SAFE_METHODS, refuse_other_pages, require_own_page
from app.http.problems import Problem
from app.http.rates import Rates
from app.http.sessions import CurrentRuntime, Now
from app.ids import api_key_id
from app.keys import changing, cookies, service, sessions
from app.keys.looking_up import Holder, LookUps
from app.keys.refusals import Refusals
from app.keys.scopes import Scope
from app.keys.tables import ApiKey
from app.observability import fields
from app.runtime import Runtime

log = logging.getLogger("lotus.keys")

NOTE_USE_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Caller:
    """`session_id` is that of a browser that showed its cookie; None if the key was shown. `until`
    is when the one or the other ends, if it does."""

    controller_id: UUID
    key_id: UUID
    scopes: frozenset[Scope]
    until: datetime | None
    session_id: UUID | None = None

    @property
    def actor(self) -> str:
        """How the audit log names the caller."""
        return api_key_id(self.key_id)


class NotAuthenticated(Problem):
    status = 401
    code = "not-authenticated"
    title = "No valid API key"


class MissingScope(Problem):
    status = 403
    code = "missing-scope"
    title = "The key lacks a scope"


bearer = HTTPBearer(auto_error=False, description="An API key: `lot_…`")


async def identify(
    request: Request,
    runtime: Runtime,
    now: datetime,
    credentials: HTTPAuthorizationCredentials | None,
) -> Caller:
    """Who calls, however often: by a key, or by the cookie of a session where no `Authorization` is
    shown. Asks in a database session of its own that ends here: an endpoint never waits with two.
    """
    if "authorization" not in request.headers:
        tokens = cookies.shown(request, runtime.settings.public_url)
        if tokens:
            return await _find_by_cookie(request, runtime, tokens, now=now)
    return await identify_by_key(request, runtime, now, credentials)


async def identify_by_key(
    request: Request,
    runtime: Runtime,
    now: datetime,
    credentials: HTTPAuthorizationCredentials | None,
) -> Caller:
    """Where no browser calls, and so no cookie counts."""
    shown = request.headers.getlist("authorization")
    if not shown:
        raise _refusal()
    # Of two headers a proxy before us may have looked at the other one.
    if credentials is None or len(shown) > 1:
        raise refused(request, now)
    return await find_caller(request, runtime, credentials.credentials, now=now)


async def find_caller(
    request: Request, runtime: Runtime, presented: str, *, now: datetime
) -> Caller:
    """Whose key was presented, in whatever way."""
    look_ups: LookUps = request.app.state.look_ups
    holder = await look_ups.by_key(presented, now=now)
    if holder is None:
        raise refused(request, now)
    return await _caller(request, runtime, holder, now=now)


async def _find_by_cookie(
    request: Request, runtime: Runtime, tokens: list[str], *, now: datetime
) -> Caller:
    """Where a call comes from is looked at first: another site's page must not learn by the answer
    whether somebody is logged in, nor make refusals count."""
    if request.method in SAFE_METHODS:
        refuse_other_pages(request)
    else:
        require_own_page(request, runtime.settings.public_url)
    look_ups: LookUps = request.app.state.look_ups
    # Of two cookies either may have been planted.
    holder = await look_ups.by_token(tokens[0], now=now) if len(tokens) == 1 else None
    if holder is None:
        raise refused(request, now)
    return await _caller(request, runtime, holder, now=now)


async def _caller(request: Request, runtime: Runtime, holder: Holder, *, now: datetime) -> Caller:
    if holder.use_is_due(now):
        await run_in_threadpool(_note_use, runtime, holder.key_id, now)
    caller = Caller(
        holder.controller_id,
        holder.key_id,
        frozenset(map(Scope, holder.scopes)),
        holder.until,
        holder.session_id,
    )
    request.state.still_allowed = partial(require_unended, callers=(caller,))
    return caller


async def authenticate(
    request: Request,
    runtime: CurrentRuntime,
    now: Now,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    as_cookie: Annotated[object, Depends(cookies.session_cookie)],
) -> Caller:
    """Who calls, within the limit of the key's calls."""
    caller = await identify(request, runtime, now, credentials)
    await count_call(request, caller)
    return caller


async def count_call(request: Request, caller: Caller) -> None:
    """RateLimited beyond the limit."""
    rates: Rates = request.app.state.rates
    await rates.calls.take_from_loop(caller.key_id.hex)


def require_unended(session: Session, callers: Collection[Caller]) -> None:
    """Asked at the end of a call that writes, or of several that wrote together: what it did is
    undone if its key was revoked since it was shown, or its session was ended, by another call."""
    if changing.any_revoked_elsewhere(session, {caller.key_id for caller in callers}):
        raise _refusal()
    opened = {caller.session_id for caller in callers if caller.session_id is not None}
    if opened and sessions.any_ended_elsewhere(session, opened):
        raise _refusal()


def _refusal() -> NotAuthenticated:
    return NotAuthenticated(
        "Send `Authorization: Bearer lot_…` with a key that is neither expired nor revoked, or log "
        "in again.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def refused(request: Request, now: datetime) -> NotAuthenticated:
    """Counts a log-in that showed something, and no valid key; RateLimited for too many from one
    address. A valid key is never refused for what others at its address do."""
    refusals: Refusals = request.app.state.refusals
    refusals.count(now)
    rates: Rates = request.app.state.rates
    rates.refusals.take(_address(request))
    return _refusal()


def _address(request: Request) -> str:
    """Where the call comes from, as uvicorn tells; of IPv6 the network, of which a caller has all
    addresses. For counting alone: it is neither kept nor logged."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()


def _note_use(runtime: Runtime, key_id: UUID, now: datetime) -> None:
    """Best effort: a caller must not wait, let alone fail, because the database is busy writing."""
    try:
        with runtime.database.write(wait=NOTE_USE_WAIT_SECONDS) as session:
            service.note_use(session, key_id, now=now)
    except OperationalError:
        log.info("last use of a key not noted", extra=fields(key=api_key_id(key_id)))


def require(*scopes: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency that gives the caller if its key holds every one of `scopes`. The description of
    the API names them."""

    named = Security(authenticate, scopes=[scope.value for scope in scopes])

    async def checked(caller: Annotated[Caller, named]) -> Caller:
        require_scopes(caller, *scopes)
        return caller

    return checked


def require_scopes(caller: Caller, *scopes: Scope) -> None:
    missing = [scope for scope in scopes if scope not in caller.scopes]
    if missing:
        raise MissingScope(f"This call needs the scope {', '.join(missing)}.")


def require_still_valid(session: Session, caller: Caller, *, now: datetime) -> None:
    """For calls that last: NotAuthenticated once the key is revoked or expired, or the session that
    the call came by has ended."""
    if not still_valid(session, [caller], now=now):
        raise _refusal()


def still_valid(session: Session, callers: Collection[Caller], *, now: datetime) -> set[Caller]:
    """Those of whom `require_still_valid` would not complain."""
    wanted = select(ApiKey).where(ApiKey.id.in_({caller.key_id for caller in callers}))
    keys = {key.id for key in session.scalars(wanted) if service.is_valid(key, now=now)}
    opened = {caller.session_id for caller in callers if caller.session_id is not None}
    live = sessions.live(session, opened, now=now)
    return {
        caller
        for caller in callers
        if caller.key_id in keys and (caller.session_id is None or caller.session_id in live)
    }
