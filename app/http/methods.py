"""Which methods a path has. FastAPI answers for one of its routes alone, and takes a fixed path
that lacks a method for an id of the path beside it."""

from functools import cached_property

from fastapi import FastAPI, Request
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException


class Methods:
    """Of an app whose routes do not change any more once the first call has come."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def of(self, path: str) -> list[str]:
        """In order. Where a fixed path fits, its own."""
        if fixed := self._fixed.get(path):
            return sorted(fixed)
        fitting = [one for one in self._routes if one.path_regex.match(path)]
        return sorted({method for one in fitting for method in one.methods or ()})

    async def check(self, request: Request) -> None:
        """A dependency: 405 where a fixed path would else be read as an id."""
        allowed = self._fixed.get(request.scope["path"])
        if allowed is not None and request.method not in allowed:
            raise HTTPException(405)

    @cached_property
    def _routes(self) -> list[RouteContext]:
        return list(iter_route_contexts(self._app.routes))

    @cached_property
    def _fixed(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for one in self._routes:
            if one.path is not None and "{" not in one.path:
                found.setdefault(one.path, set()).update(one.methods or ())
        return found
