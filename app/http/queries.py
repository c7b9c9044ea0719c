"""What holds for the query of every call, and for a header that means something."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute

from app.http.problems import FieldError, InvalidInput

# Of two of them one would be forgotten, and with it that the call is a repeat.
ONCE = "Idempotency-Key"


def plain_query(*, repeated: frozenset[str]) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses a parameter that the call does not know, which else would mean
    nothing without a word: a filter that is misspelt lets everything through. And one that stands
    there twice: whoever reads it, here or on the way, may take the other one. `repeated`: those
    that may."""

    names: dict[Any, frozenset[str]] = {}  # of each endpoint

    async def check(request: Request) -> None:
        if len(request.headers.getlist(ONCE)) > 1:
            raise InvalidInput(
                "The call names itself twice.",
                errors=[FieldError(field=f"header.{ONCE}", message="must be given once")],
            )
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
