"""Who calls: the same keys as everywhere, as Bearer or as the password of HTTP Basic, which is what
controllers can send that know nothing else."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBasic
from starlette.requests import HTTPConnection

from app.http.sessions import CurrentRuntime, Now
from app.keys.auth import (
    Caller,
    NotAuthenticated,
    bearer,
    count_call,
    find_caller,
    refused,
    require_scopes,
)
from app.keys.scopes import Scope

CHALLENGE = 'Bearer, Basic realm="OpenDSR", charset="UTF-8"'


class _Basic(HTTPBasic):
    """For the description of the API alone. Whatever an `Authorization` holds is read in one place,
    where a value that cannot be read is counted like any other refused log-in."""

    async def __call__(self, request: HTTPConnection) -> None:
        return None


_basic = _Basic(auto_error=False, description="Any user, and an API key as the password.")


async def authenticate(
    request: Request,
    runtime: CurrentRuntime,
    now: Now,
    as_bearer: Annotated[object, Depends(bearer)],
    as_password: Annotated[object, Depends(_basic)],
) -> Caller:
    shown = request.headers.getlist("authorization")
    try:
        if not shown:
            raise NotAuthenticated("Send an API key, as Bearer or as the password of Basic.")
        key = _key_of(shown[0]) if len(shown) == 1 else None
        if key is None:
            raise refused(request, now)
        caller = await find_caller(request, runtime, key, now=now)
    except NotAuthenticated as refusal:
        refusal.headers["WWW-Authenticate"] = CHALLENGE
        raise
    await count_call(request, caller)
    return caller


def _key_of(header: str) -> str | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        _, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        return password.decode("ascii") if colon else None
    except (binascii.Error, ValueError):
        return None


def require(*scopes: Scope) -> Callable[..., Awaitable[Caller]]:
    named = Security(authenticate, scopes=[scope.value for scope in scopes])

    async def checked(caller: Annotated[Caller, named]) -> Caller:
        require_scopes(caller, *scopes)
        return caller

    return checked
