"""The allow-list of network architectures: a registered model names one and gives its config.

Weights arrive as bare tensors, so code never travels with a model. A deployment adds its own
architecture by installing a package with an entry point in the group `lotus.architectures` that
names a subclass of `ArchitectureConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from workers import architecture_configs as configs
from workers.architecture_configs import ArchitectureConfig

__all__ = [
    "BUILT_IN",
    "ENTRY_POINT_GROUP",
    "ArchitectureConfig",
    "ArchitectureError",
    "InvalidArchitectureConfig",
    "TensorInfo",
    "UnknownArchitecture",
    "WeightsMismatch",
    "build",
    "check_weights",
    "config_type",
    "expected_tensors",
    "input_shape",
    "names",
    "num_classes",
    "parse_config",
]

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


BUILT_IN: dict[str, type[ArchitectureConfig]] = {
    "mlp": configs.MlpConfig,
    "cnn-small": configs.SmallCnnConfig,
    "resnet-small": configs.SmallResNetConfig,
    "resnet18-lotus": configs.PaperResNet18Config,
    "resnet18": configs.ResNet18Config,
    "resnet50": configs.ResNet50Config,
    "vit": configs.VitConfig,
    "vit-tiny": configs.VitTinyConfig,
    "vit-b-16": configs.VitB16Config,
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
        if found is None and key.endswith(".num_batches_tracked"):
            continue  # older weights lack it, and only a BatchNorm without momentum reads it
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
