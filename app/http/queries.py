"""What holds for the query of every call."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute

from app.http.problems import FieldError, InvalidInput


def plain_query(*, repeated: frozenset[str]) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses a parameter that the call does not know, which else would mean
    nothing without a word: a filter that is misspelt lets everything through. And one that stands
    there twice: whoever reads it, here or on the way, may take the other one. `repeated`: those
    that may."""

    names: dict[Any, frozenset[str]] = {}  # of each endpoint

    async def check(request: Request) -> None:
        if not request.scope["query_string"]:
            return
        if (known := names.get(request.scope["endpoint"])) is None:
            known = names[request.scope["endpoint"]] = _known(request.scope["route"])
        counted = Counter(name for name, _ in request.query_params.multi_items())
        errors = [
            # What the caller made up is not repeated.
            FieldError(field=f"query.{name}", message="must be given once")
            if name in known
            else FieldError(field="query", message="unknown parameter")
            for name, times in counted.items()
            if name not in known or (times > 1 and name not in repeated)
        ]
        if errors:
            raise InvalidInput("The query cannot be used as it is.", errors=errors)

    return check


def _known(route: APIRoute) -> frozenset[str]:
    # The fields of a model of the whole query are of no kind.
    return frozenset(
        field.alias
        for field in get_flat_params(route.dependant)
        if getattr(field.field_info, "in_", ParamTypes.query) is ParamTypes.query
    )
