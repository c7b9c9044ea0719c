"""What the owner of a model decides: how it is unlearned, and how it was trained."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict

from app.registry.verification_policy import VerificationPolicy

Share = Annotated[float, Field(ge=0, le=1)]


class Method(StrEnum):
    LOTUS = "lotus"


class Mode(StrEnum):
    """guided: the validation set chooses the epoch. paper: exact formulas, all epochs. released:
    as the authors' public code, for comparison with published tables only."""

    GUIDED = "guided"
    PAPER = "paper"
    RELEASED = "released"


class _Choices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
class LotusSettings(TypedDict, total=False):
    """What differs from the method's own plan for the model; the plan decides the rest."""

    alpha: Annotated[float, Field(ge=1e-3, le=64)]
    learning_rate: Annotated[float, Field(ge=1e-9, le=1)]
    epochs: Annotated[int, Field(ge=1, le=1_000)]
    batch_size: Annotated[int, Field(ge=2, le=65_536)]
    retain_fraction: Annotated[float, Field(ge=1e-6, le=1)]
    weight_decay: Share
    betas: Annotated[
        list[Annotated[float, Field(ge=0, le=0.999_999)]], Field(min_length=2, max_length=2)
    ]
    class_matched: bool
    smoothing: Annotated[float, Field(ge=0, le=10_000)]
    bn_recalibrate: bool
    steer: bool
    patience: Annotated[int, Field(ge=1, le=1_000)]
    auc_floor: Annotated[float, Field(ge=0, le=0.5)]
    auc_ceiling: Annotated[float, Field(ge=0.5, le=1)]
    precision: Literal["auto", "float32", "bfloat16"]
    kernels: Literal["auto", "fast", "reference"]
    deterministic: bool


class Policy(_Choices):
    """`coalesce_seconds` is empty where the service's own setting holds."""

    coalesce_seconds: Annotated[float | None, Field(ge=0, le=86_400)] = None
    rollback_days: Annotated[
        int,
        Field(
            ge=0,
            le=365,
            description="How long a new version can be taken back; then completed cases close and "
            "what they no longer need is destroyed.",
        ),
    ] = 7
    method: Method = Method.LOTUS
    mode: Mode = Mode.GUIDED
    settings: LotusSettings = {}
    verification: VerificationPolicy = VerificationPolicy()


class TrainingRecipe(_Choices):
    """How the owner trained the model: what exact retraining would have to repeat.

    `learning_rate` is that of the schedule's start; under one_cycle, of its peak, and momentum then
    cycles between .85 and .95.
    """

    optimizer: Literal["sgd", "adam", "adamw"]
    learning_rate: Annotated[float, Field(ge=1e-9, le=10)]
    momentum: Annotated[float, Field(ge=0, le=0.999_999)] = 0.0
    weight_decay: Share = 0.0
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=2, le=65_536)]
    augmentation: Literal["none", "flip", "crop_and_flip"] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0

    @model_validator(mode="after")
    def _one_momentum(self) -> Self:
        if self.schedule == "one_cycle" and self.momentum:
            raise ValueError("one_cycle has a momentum of its own")
        return self
