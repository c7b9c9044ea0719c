"""The wire form of re-checks."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from app.erasure.recheck_tables import RecheckState, Skipped, Trigger
from app.erasure.tables import ErrorClass
from app.ids import ItemId, ModelId, RecheckId, RequestId, VersionId
from app.registry.schemas import CurrentVersion


class PooledView(BaseModel):
    """All compared cases together: the paired change of the attack's AUC from the version that each
    rests on."""

    cases: int
    samples: int
    unseen: Annotated[int, Field(description="Unseen rows that both versions were asked about.")]
    difference: float
    standard_error: float
    lower_99: Annotated[
        float, Field(description="One-sided 99 % lower confidence bound of the change.")
    ]
    alarm: Annotated[bool, Field(description="Whether that bound lies above the margin of 0.03.")]


class CaseView(BaseModel):
    """p and q are empty unless the cases together raised the alarm: only then is each looked at."""

    request: RequestId
    item: ItemId
    resting_version: Annotated[
        VersionId,
        Field(description="The version it rests on: the one that its item's run published."),
    ]
    samples: int | None
    change: float | None
    standard_error: float | None
    p_value: float | None
    q: Annotated[float | None, Field(description="Benjamini-Hochberg over the cases.")]
    relapsed: bool
    skipped: Annotated[Skipped | None, Field(description="Why it could not be compared.")]


class RecheckSummary(BaseModel):
    id: RecheckId
    model: ModelId
    version: CurrentVersion
    trigger: Annotated[
        Trigger,
        Field(description="schedule: no case was new, and the version's bytes were compared."),
    ]
    state: RecheckState
    attempt: int
    case_count: int
    relapsed_count: int
    pooled: PooledView | None
    error_class: ErrorClass | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RecheckDetail(RecheckSummary):
    device: str | None
    code_version: str | None
    error_detail: str | None
    cases: list[CaseView]


class LastRecheck(BaseModel):
    """What the latest re-check of an item said."""

    recheck: RecheckId
    version: VersionId
    state: RecheckState
    finished_at: datetime | None
    samples: int | None
    change: float | None
    standard_error: float | None
    q: float | None
    relapsed: bool
    skipped: Skipped | None
