"""What the owner of a model decides: how it is unlearned, and how it was trained."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.registry.method_settings import Method, SettingsOfMethod, Share, checked
from app.registry.verification_policy import VerificationPolicy


class Mode(StrEnum):
    """guided: the validation set chooses the epoch. paper: exact formulas, all epochs. released:
    as the authors' public code, for comparison with published tables only."""

    GUIDED = "guided"
    PAPER = "paper"
    RELEASED = "released"


class _Choices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LadderStep(StrEnum):
    """What may follow when the tests reject a run, from the least to the most costly."""

    OTHER_SETTINGS = "other_settings"
    OTHER_METHOD = "other_method"
    RETRAIN = "retrain"


class Approval(StrEnum):
    """Who has to agree before a request concerns the model, from the least to the most strict."""

    NONE = "none"
    ONE = "one"
    FOUR_EYES = "four_eyes"


class Policy(_Choices):
    """`coalesce_seconds` is empty where the service's own setting holds; `mode` is LoTUS's.

    `ladder`: what a rejected run may be followed by, in this order, before a person is asked. A
    step that makes no sense for the model, such as retraining without a recipe, is passed over.
    """

    coalesce_seconds: Annotated[float | None, Field(strict=True, ge=0, le=86_400)] = None
    rollback_days: Annotated[
        int,
        Field(
            strict=True,  # it decides when data is destroyed: `true` is no number of days
            ge=0,
            le=365,
            description="How long a new version can be taken back; then completed cases close and "
            "what they no longer need is destroyed.",
        ),
    ] = 7
    recheck_days: Annotated[
        int,
        Field(
            strict=True,
            ge=1,
            le=365,
            description="While cases are open: how often the current version's file is read and "
            "compared with its digest, and a re-check that failed is tried again.",
        ),
    ] = 1
    method: Method = Method.LOTUS
    mode: Mode = Mode.GUIDED
    settings: SettingsOfMethod = {}
    ladder: Annotated[tuple[LadderStep, ...], Field(max_length=len(LadderStep))] = tuple(LadderStep)
    approval: Annotated[
        Approval,
        Field(
            description="Of requests that are received from now on. one: a person approves each "
            "before any run; four_eyes: a person who did not submit it."
        ),
    ] = Approval.NONE
    verification: VerificationPolicy = VerificationPolicy()

    @field_validator("settings")
    @classmethod
    def _of_the_method(cls, settings: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        method = info.data.get("method")  # missing if it is not valid itself
        return settings if method is None else checked(method, settings)

    @field_validator("ladder")
    @classmethod
    def _upwards(cls, ladder: tuple[LadderStep, ...]) -> tuple[LadderStep, ...]:
        order = list(LadderStep)
        if list(ladder) != sorted(set(ladder), key=order.index):
            raise ValueError("steps must not repeat and must go from the least to the most costly")
        return ladder


class TrainingRecipe(_Choices):
    """How the owner trained the model: what exact retraining would have to repeat.

    `learning_rate` is that of the schedule's start; under one_cycle, of its peak, and momentum then
    cycles between .85 and .95.
    """

    optimizer: Literal["sgd", "adam", "adamw"]
    learning_rate: Annotated[float, Field(strict=True, ge=1e-9, le=10)]
    momentum: Annotated[float, Field(strict=True, ge=0, le=0.999_999)] = 0.0
    weight_decay: Share = 0.0
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    epochs: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    batch_size: Annotated[int, Field(strict=True, ge=2, le=65_536)]
    augmentation: Literal["none", "flip", "crop_and_flip"] = "none"
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**53)] = 0

    @model_validator(mode="after")
    def _one_momentum(self) -> Self:
        if self.schedule == "one_cycle" and self.momentum:
            raise ValueError("one_cycle has a momentum of its own")
        return self
