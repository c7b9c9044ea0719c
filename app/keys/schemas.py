"""The wire form of API keys and of sessions."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.http.text import Name
from app.http.times import Time
from app.ids import ApiKeyId, ControllerId
from app.keys.changing import LONGEST_OVERLAP, OVERLAP
from app.keys.scopes import Scope

LONGEST_LIFE = timedelta(days=3653)

Expiry = Annotated[
    Time | None,
    Field(description="In the future, and within ten years."),
]


class _Input(BaseModel):
    # Nothing of an input may appear in an error message.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class MakeKey(_Input):
    name: Annotated[
        Name,
        Field(
            description="Who or what will use the key. It is shown to everybody who may see keys "
            "or recipients.",
        ),
    ]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_at: Expiry = None


class RotateKey(_Input):
    overlap_seconds: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=int(LONGEST_OVERLAP.total_seconds()),
            description="How long the old key stays valid beside its successor.",
        ),
    ] = int(OVERLAP.total_seconds())
    expires_at: Annotated[
        Expiry,
        Field(
            description="Of the successor. Default: it is given as long a life as the old one was, "
            "if that one had an end."
        ),
    ] = None

    @property
    def overlap(self) -> timedelta:
        return timedelta(seconds=self.overlap_seconds)


class KeyView(BaseModel):
    """`prefix` is the beginning of the key, by which people tell keys apart."""

    id: ApiKeyId
    name: str
    prefix: str
    scopes: list[Scope]
    valid: bool
    succeeds: Annotated[
        ApiKeyId | None, Field(description="The key that this one takes the place of.")
    ]
    made_by: Annotated[
        ApiKeyId | None,
        Field(
            description="The key that made this one over HTTP, or null if the operator made it. "
            "With `four_eyes` whoever holds the one is taken to hold the other."
        ),
    ]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="To the minute.")]


class NewKey(KeyView):
    key: Annotated[str, Field(repr=False, description="Shown here and never again.")]


class LogIn(_Input):
    key: Annotated[str, Field(max_length=1000, repr=False, description="An API key: `lot_…`.")]


class KeyNamed(BaseModel):
    id: ApiKeyId
    name: str


class ControllerNamed(BaseModel):
    id: ControllerId
    name: str


class SessionView(BaseModel):
    key: KeyNamed
    controller: ControllerNamed
    scopes: list[Scope]
    expires_at: Annotated[
        datetime | None,
        Field(
            description="When the session ends; of a caller who shows the key itself, when the key "
            "does, or null if it has no end."
        ),
    ]
