"""The cookie that holds the token of a session (RFC 6265bis).

No script can read it, no other site's page sends it, and by https no other host can have set it:
browsers take `__Host-` from the host itself alone.
"""

from datetime import datetime

from fastapi import Request, Response
from fastapi.security import APIKeyCookie
from starlette.requests import HTTPConnection

from app.http.origins import is_secure

PLAIN = "lotus_session"
SECURE = "__Host-lotus_session"


class _SessionCookie(APIKeyCookie):
    """For the description of the API alone: the name depends on how a call came, and a name may
    stand there twice."""

    async def __call__(self, request: HTTPConnection) -> None:
        return None


session_cookie = _SessionCookie(
    name=PLAIN,
    auto_error=False,
    description=f"What `POST /api/v1/session` set; by https it is called `{SECURE}`. Without an "
    "`Authorization` header it stands for the key. Calls that change something must come from a "
    "page of this service.",
)


def shown(request: Request, public_url: str | None) -> list[str]:
    """The values of every cookie with the session's name, in their order."""
    wanted = _name(request, public_url)
    parts = [part for line in request.headers.getlist("cookie") for part in line.split(";")]
    named = [part.strip().partition("=") for part in parts]
    return [value for name, _, value in named if name == wanted]


def hand_out(
    response: Response,
    request: Request,
    public_url: str | None,
    token: str,
    *,
    expires_at: datetime,
    now: datetime,
) -> None:
    _set(response, request, public_url, token, int((expires_at - now).total_seconds()))


def take_back(response: Response, request: Request, public_url: str | None) -> None:
    _set(response, request, public_url, "", 0)


def _set(
    response: Response, request: Request, public_url: str | None, token: str, max_age: int
) -> None:
    response.set_cookie(
        _name(request, public_url),
        token,
        max_age=max_age,
        path="/",
        secure=is_secure(request, public_url),
        httponly=True,
        samesite="strict",
    )


def _name(request: Request, public_url: str | None) -> str:
    return SECURE if is_secure(request, public_url) else PLAIN
