"""The allow-list of network architectures: a registered model names one and gives its config.

Weights arrive as bare tensors, so code never travels with a model. A deployment adds its own
architecture by installing a package with an entry point in the group `lotus.architectures` that
names a subclass of `ArchitectureConfig`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from workers.unlearning.planning import Kind

ENTRY_POINT_GROUP = "lotus.architectures"


class ArchitectureError(ValueError):
    """An architecture, its config or its weights cannot be used; `str()` is safe to show."""


class UnknownArchitecture(ArchitectureError):
    def __init__(self, known: list[str]) -> None:
        super().__init__(f"unknown architecture; known: {', '.join(known)}")
        self.known = known


class InvalidArchitectureConfig(ArchitectureError):
    """`problems` maps a config field to what is wrong with it; values are never repeated."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(f"config.{field}: {why}" for field, why in problems.items()))
        self.problems = problems


class WeightsMismatch(ArchitectureError):
    """`tensor` is the first tensor, in the architecture's order, that does not fit."""

    def __init__(self, tensor: str, why: str) -> None:
        super().__init__(f"tensor {tensor!r}: {why}")
        self.tensor = tensor


@dataclass(frozen=True)
class TensorInfo:
    """Shape and safetensors dtype code (F32, I64, ...) of one stored tensor."""

    shape: tuple[int, ...]
    dtype: str


class ArchitectureConfig(BaseModel, ABC):
    """Config of one architecture; sizes are bounded so that a config cannot exhaust memory."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    kind: ClassVar[Kind]  # decides which settings suit it

    num_classes: Annotated[int, Field(ge=2, le=100_000)]

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch dimension."""

    @abstractmethod
    def module(self) -> nn.Module:
        """A freshly initialised network, input (N, *input_shape) to logits (N, num_classes)."""


class _ResidualBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class _SmallResNet(nn.Module):
    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(
            _ResidualBlock(16, 16, 1), _ResidualBlock(16, 32, 2), _ResidualBlock(32, 64, 2)
        )
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.blocks(F.relu(self.bn(self.stem(x))))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


class SmallResNetConfig(ArchitectureConfig):
    """`resnet-small`: 3x3 stem, three residual blocks of 16, 32 and 64 channels, BatchNorm."""

    kind: ClassVar[Kind] = "convolutional"

    in_channels: Annotated[int, Field(ge=1, le=16)] = 3
    image_size: Annotated[int, Field(ge=4, le=512)]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.image_size, self.image_size)

    def module(self) -> nn.Module:
        return _SmallResNet(self.in_channels, self.num_classes)


class MlpConfig(ArchitectureConfig):
    """`mlp`: fully connected layers with ReLU, for tabular features."""

    kind: ClassVar[Kind] = "dense"

    in_features: Annotated[int, Field(ge=1, le=65_536)]
    hidden: Annotated[
        list[Annotated[int, Field(ge=1, le=4_096)]], Field(min_length=1, max_length=8)
    ]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.in_features,)

    def module(self) -> nn.Module:
        widths = [self.in_features, *self.hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], self.num_classes))


BUILT_IN: dict[str, type[ArchitectureConfig]] = {
    "resnet-small": SmallResNetConfig,
    "mlp": MlpConfig,
}


def names() -> list[str]:
    """Every architecture that can be named, built in and installed."""
    return sorted({*BUILT_IN, *entry_points(group=ENTRY_POINT_GROUP).names})


def config_type(name: str) -> type[ArchitectureConfig]:
    """The config schema of an architecture. A built-in name cannot be replaced from outside."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        loaded = entry_point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, ArchitectureConfig)):
            raise ArchitectureError("the installed architecture is no ArchitectureConfig subclass")
        return loaded
    raise UnknownArchitecture(names())


def parse_config(name: str, config: Mapping[str, Any]) -> ArchitectureConfig:
    """Validated config; raises InvalidArchitectureConfig naming every faulty field."""
    schema = config_type(name)
    try:
        return schema.model_validate(dict(config))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidArchitectureConfig(
            {".".join(str(part) for part in fault["loc"]): fault["msg"] for fault in faults}
        ) from None


def build(name: str, config: Mapping[str, Any]) -> nn.Module:
    """A freshly initialised network; under `torch.device("meta")` it takes no memory."""
    return parse_config(name, config).module()


def input_shape(name: str, config: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of one sample: (channels, height, width) for images, (features,) for tables."""
    return parse_config(name, config).input_shape


def num_classes(name: str, config: Mapping[str, Any]) -> int:
    return parse_config(name, config).num_classes


def expected_tensors(name: str, config: Mapping[str, Any]) -> dict[str, TensorInfo]:
    """Every tensor that a weights file for this architecture must hold, without allocating any."""
    with torch.device("meta"):
        module = build(name, config)
    return {
        key: TensorInfo(tuple(tensor.shape), _SAFETENSORS_CODES[tensor.dtype])
        for key, tensor in module.state_dict().items()
    }


def check_weights(name: str, config: Mapping[str, Any], stored: Mapping[str, TensorInfo]) -> None:
    """Raise WeightsMismatch for the first tensor that is missing, misfit or unexpected."""
    expected = expected_tensors(name, config)
    for key, info in expected.items():
        found = stored.get(key)
        if found is None:
            raise WeightsMismatch(key, f"missing, expected shape {list(info.shape)}")
        if tuple(found.shape) != info.shape:
            raise WeightsMismatch(
                key, f"shape {list(found.shape)}, expected shape {list(info.shape)}"
            )
        if found.dtype != info.dtype:
            raise WeightsMismatch(key, f"dtype {found.dtype}, expected {info.dtype}")
    for key in stored:
        if key not in expected:
            raise WeightsMismatch(key, "not part of this architecture")


_SAFETENSORS_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.bool: "BOOL",
}
