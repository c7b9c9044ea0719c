"""Which requests a list, an export or a watcher asks for."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.erasure.states import RequestState
from app.erasure.tables import Regulation
from app.http.times import Time
from app.ids import ModelId


class RequestFilter(BaseModel):
    """All that are given must hold."""

    # A misspelt filter would answer with requests that nobody asked for.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    state: Annotated[
        list[RequestState], Field(max_length=20, description="Any of these; repeat the parameter.")
    ] = []
    due_before: Annotated[
        Time | None, Field(description="An answer is due earlier than this. Earliest due first.")
    ] = None
    overdue: Annotated[
        bool | None,
        Field(description="`true`: open and late, earliest due first. `false`: every other."),
    ] = None
    model: Annotated[ModelId | None, Field(description="With an item on this model.")] = None
    updated_since: Annotated[
        Time | None,
        Field(
            description="Changed at this time or later. Unless due dates order the list, what "
            "changed first comes first."
        ),
    ] = None
    external_id: Annotated[str | None, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")] = (
        None
    )
    regulation: Regulation | None = None
