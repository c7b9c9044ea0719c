"""The unlearning methods that an owner may choose, and the settings of each. Pure.

A setting replaces what the method's own plan for the model says; the plan decides the rest. The
worker's library has the same names and bounds, and a test compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter, with_config
from pydantic_core import CoreSchema
from typing_extensions import TypedDict


class Method(StrEnum):
    """LoTUS, and those of the library that came closest to retraining in our benchmarks."""

    LOTUS = "lotus"
    RBM = "rbm"
    SCRUB = "scrub"
    RANDOM_LABEL = "random_label"


# Never chosen for a first run: exact retraining follows the model's training recipe.
RETRAIN: Final = "retrain"

Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Epochs = Annotated[int, Field(ge=1, le=1_000)]
BatchSize = Annotated[int, Field(ge=2, le=65_536)]
Rate = Annotated[float, Field(ge=1e-9, le=10)]
Weight = Annotated[float, Field(ge=0, le=1_000)]
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


@with_config(_STRICT)
class Execution(TypedDict, total=False):
    """How the arithmetic is done: every method has these."""

    precision: Literal["auto", "float32", "bfloat16"]
    kernels: Literal["auto", "fast", "reference"]
    deterministic: bool
    accumulate: Annotated[int, Field(ge=1, le=1_024)]


@with_config(_STRICT)
class LotusSettings(Execution, total=False):
    alpha: Annotated[float, Field(ge=1e-3, le=64)]
    learning_rate: Annotated[float, Field(ge=1e-9, le=1)]
    epochs: Epochs
    batch_size: BatchSize
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


@with_config(_STRICT)
class RbmSettings(Execution, total=False):
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: Rate
    mask_share: Annotated[float, Field(ge=1e-6, le=1)]
    saliency_fraction: Annotated[float, Field(ge=1e-6, le=1)]
    momentum: Annotated[float, Field(ge=0, le=0.999_999)]
    weight_decay: Share


@with_config(_STRICT)
class ScrubSettings(Execution, total=False):
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: Rate
    alpha: Weight
    gamma: Weight
    temperature: Annotated[float, Field(ge=1e-3, le=1_000)]
    max_epochs: Annotated[int, Field(ge=0, le=1_000)]
    rewind: bool


@with_config(_STRICT)
class RandomLabelSettings(Execution, total=False):
    epochs: Epochs
    batch_size: BatchSize
    learning_rate: Rate


SETTINGS: Mapping[Method, type] = {
    Method.LOTUS: LotusSettings,
    Method.RBM: RbmSettings,
    Method.SCRUB: ScrubSettings,
    Method.RANDOM_LABEL: RandomLabelSettings,
}
_ADAPTERS: Mapping[Method, TypeAdapter[Any]] = {
    method: TypeAdapter(settings) for method, settings in SETTINGS.items()
}
_ANY: TypeAdapter[Any] = TypeAdapter(
    LotusSettings | RbmSettings | ScrubSettings | RandomLabelSettings
)


def checked(method: Method, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the method takes them. Raises pydantic's ValidationError, which names each
    setting that the method does not have or that is out of its bounds."""
    found: dict[str, Any] = _ADAPTERS[method].validate_python(dict(settings))
    return found


def execution_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that hold for whatever method."""
    return {name: settings[name] for name in Execution.__annotations__ if name in settings}


class _ShownAsUnion:
    """In the API's description: the settings of any method. Which of them fit, its method says."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(_ANY.core_schema)


SettingsOfMethod = Annotated[dict[str, Any], _ShownAsUnion()]
