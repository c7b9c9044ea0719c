"""A poll of the overview that finds nothing new, answered before anything is routed.

Every dashboard asks every two seconds, and nearly always the answer is 304. To find the endpoint
and to solve its dependencies costs several times what the answer does. So this looks up who calls,
as the endpoint would, and says 304 if he may read the overview and has the one that is kept.
Whatever else there is to say, a refusal above all, is left to the endpoint.
"""

from datetime import datetime
from typing import NamedTuple

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param
from starlette.types import ASGIApp, Receive, Scope, Send

from app.clock import utc_now
from app.http.etags import VARY, matches
from app.http.origins import CrossSite, refuse_other_pages
from app.http.problems import Unavailable, answer
from app.http.rates import Limit, RateLimited
from app.keys import cookies
from app.keys.looking_up import Holder, LookUps
from app.overview.endpoints import READ
from app.overview.keeping import Overviews


class _Route(NamedTuple):
    """What the log and the figures call the endpoint by."""

    path: str


class Unchanged:
    """ASGI middleware, for the one `path`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        path: str,
        public_url: str | None,
        look_ups: LookUps,
        overviews: Overviews,
        calls: Limit,
    ) -> None:
        self.app = app
        self._route = _Route(path)
        self._public_url = public_url
        self._look_ups = look_ups
        self._overviews = overviews
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["path"] == self._route.path
            and scope["method"] == "GET"
            and not scope["query_string"]
        ):
            try:
                tag = await self._unchanged(Request(scope))
            except Unavailable as away:
                scope["route"] = self._route
                await answer(away)(scope, receive, send)
                return
            if tag is not None:
                scope["route"] = self._route
                headers = [(b"etag", tag), VARY]
                await send({"type": "http.response.start", "status": 304, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self.app(scope, receive, send)

    async def _unchanged(self, request: Request) -> bytes | None:
        """The tag that the caller has, if it is the present one and he may know."""
        had = request.headers.getlist("if-none-match")
        # A body would have to be looked at.
        if not had or "content-length" in request.headers or "transfer-encoding" in request.headers:
            return None
        now = utc_now()
        holder = await self._holder(request, now)
        if holder is None or holder.use_is_due(now):
            return None
        kept = self._overviews.fresh(holder.controller_id)
        if READ not in holder.scopes or kept is None:
            return None
        tag = kept.etag.encode()
        if not matches(", ".join(had).encode("latin-1"), tag):
            return None
        try:
            await self._calls.take_from_loop(holder.key_id.hex)
        except RateLimited:
            return None
        return tag

    async def _holder(self, request: Request, now: datetime) -> Holder | None:
        """None also where two things are shown, which the endpoint refuses."""
        said = request.headers.getlist("authorization")
        if not said:
            try:
                refuse_other_pages(request)
            except CrossSite:
                return None
            tokens = cookies.shown(request, self._public_url)
            return await self._look_ups.by_token(tokens[0], now=now) if len(tokens) == 1 else None
        scheme, key = get_authorization_scheme_param(said[0])
        if len(said) > 1 or scheme.lower() != "bearer":
            return None
        return await self._look_ups.by_key(key, now=now)
