"""What holds for the query of every call."""

from collections import Counter
from collections.abc import Callable

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params

from app.http.problems import FieldError, InvalidInput


def said_once(*, except_for: frozenset[str]) -> Callable[[Request], None]:
    """A dependency that refuses a query in which a parameter stands twice: whoever reads it, here
    or on the way, may take the other one."""

    def check(request: Request) -> None:
        counted = Counter(name for name, _ in request.query_params.multi_items())
        if all(times == 1 or name in except_for for name, times in counted.items()):
            return
        known = {field.alias for field in get_flat_params(request.scope["route"].dependant)}
        names = [name for name, times in counted.items() if times > 1 and name not in except_for]
        raise InvalidInput(
            "A parameter of the query stands there more than once.",
            errors=[
                FieldError(
                    # What the caller made up is not repeated.
                    field=f"query.{name}" if name in known else "query",
                    message="must be given once",
                )
                for name in names
            ],
        )

    return check
