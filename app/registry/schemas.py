"""The wire form of artifacts, datasets, models and versions."""

from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.http.free_json import free_json
from app.http.problems import ProblemDocument
from app.http.text import Name
from app.identities import DEFAULT_TYPE, TYPE_PATTERN, IdentityFormat
from app.ids import ApiKeyId, DatasetId, ModelId, RunId, VersionId
from app.registry.policy import Policy, TrainingRecipe
from app.registry.tables import (
    ArtifactState,
    OnSuppressed,
    RegistrationState,
    SampleSplit,
    Task,
    VersionState,
)

ROW_COLUMNS = ("sample_id", "label", "split", "image", "features")

_Distinct = TypeVar("_Distinct", bound=Sequence[Hashable])


def _distinct(values: _Distinct) -> _Distinct:
    if len(set(values)) != len(values):
        raise ValueError("must not repeat an entry")
    return values


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FreeJson = Annotated[dict[str, Any], BeforeValidator(free_json)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Input(BaseModel):
    # Nothing of an input may appear in an error message.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ArtifactView(BaseModel):
    sha256: str
    size: int
    media_type: str
    state: ArtifactState


class SubjectColumn(BaseModel):
    """A manifest column that says whom a sample shows, and how it says it."""

    model_config = ConfigDict(frozen=True)

    column: str
    type: str
    format: IdentityFormat


class DeclareSubjectColumn(_Input):
    column: Name
    type: Annotated[str, Field(pattern=TYPE_PATTERN)] = DEFAULT_TYPE
    format: IdentityFormat = IdentityFormat.RAW


def _columns_of_their_own(columns: list[DeclareSubjectColumn]) -> list[DeclareSubjectColumn]:
    _distinct([column.column for column in columns])
    if any(column.column in ROW_COLUMNS for column in columns):
        raise ValueError("must not name a column that has another meaning")
    return columns


class RegisterDataset(_Input):
    name: Name
    task: Task
    artifact: Annotated[Sha256, Field(description="A Parquet manifest that you have uploaded.")]
    class_names: Annotated[
        list[Name],
        Field(min_length=2, max_length=20_000, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_distinct),
    ]
    subject_columns: Annotated[
        list[DeclareSubjectColumn],
        Field(min_length=1, max_length=16),
        AfterValidator(_columns_of_their_own),
    ]
    on_suppressed: Annotated[
        OnSuppressed,
        Field(
            description="What rows of persons lead to whose erasure was asked for or carried out: "
            "`flag` counts them, `refuse` makes the dataset invalid."
        ),
    ] = OnSuppressed.FLAG


class DatasetView(BaseModel):
    """`input_shape` is (channels, height, width) for images and (features,) for tables."""

    id: DatasetId
    name: str
    task: Task
    state: RegistrationState
    problem: ProblemDocument | None
    class_names: list[str]
    subject_columns: list[SubjectColumn]
    input_shape: list[int] | None
    split_counts: dict[SampleSplit, int] | None
    on_suppressed: OnSuppressed
    suppressed_rows: Annotated[
        int | None,
        Field(
            description="Rows of persons with a request that stands, or who are suppressed since "
            "their case was closed."
        ),
    ]
    created_at: datetime
    ready_at: datetime | None


class Normalization(_Input):
    """Per channel or feature: (value - mean) / std, after pixels were scaled to [0, 1]."""

    mean: Annotated[list[Finite], Field(min_length=1, max_length=65_536)]
    std: Annotated[list[Positive], Field(min_length=1, max_length=65_536)]

    @model_validator(mode="after")
    def _equally_long(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std must have the same length")
        return self


class RegisterModel(_Input):
    """`architecture` and `config` are checked with the weights: only a worker knows the list."""

    name: Name
    dataset: DatasetId
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
    config: FreeJson
    artifact: Annotated[Sha256, Field(description="Weights that you have uploaded: safetensors.")]
    normalization: Normalization | None = None
    policy: Policy = Policy()
    training_recipe: TrainingRecipe | None = None


class RegisterVersion(_Input):
    artifact: Sha256


class CurrentVersion(BaseModel):
    id: VersionId
    number: int
    sha256: str


class PauseView(BaseModel):
    """Runs of the model kept failing: until then none begins, and what was asked for waits."""

    until: datetime
    reason: Annotated[str | None, Field(description="Error class of the run that failed last.")]
    consecutive_failures: int


class ModelView(BaseModel):
    id: ModelId
    name: str
    task: Task
    dataset: DatasetId
    architecture: str
    config: dict[str, Any]
    normalization: Normalization | None
    policy: Policy
    training_recipe: TrainingRecipe | None
    state: RegistrationState
    problem: ProblemDocument | None
    current_version: CurrentVersion | None
    paused: Annotated[
        PauseView | None,
        Field(description="Stays after its time until a run of the model comes to a verdict."),
    ]
    created_at: datetime
    ready_at: datetime | None


class VersionView(BaseModel):
    """`run` is empty for weights that were trained elsewhere."""

    id: VersionId
    model: ModelId
    number: int
    state: VersionState
    parent: VersionId | None
    lineage: VersionId
    run: RunId | None
    sha256: str
    problem: ProblemDocument | None
    created_at: datetime
    published_at: datetime | None
    taken_back_at: datetime | None


class VersionDetail(VersionView):
    metrics: dict[str, Any] | None


class RecipientView(BaseModel):
    """A key that pulled a version. `name` is what the key's holder is called."""

    key: ApiKeyId
    name: str
    version: VersionId
    number: int
    sha256: str
    first_at: datetime
    last_at: datetime
    count: Annotated[int, Field(description="Calls that were answered with the weights.")]
