"""The allow-list: what may be named, what a config may hold, which weights fit."""

from collections.abc import Iterable
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from workers import architectures
from workers.architectures import (
    ArchitectureConfig,
    InvalidArchitectureConfig,
    TensorInfo,
    UnknownArchitecture,
    WeightsMismatch,
)
from workers.unlearning.planning import Kind

RESNET = {"in_channels": 1, "image_size": 8, "num_classes": 10}
MLP = {"in_features": 4, "hidden": [8, 6], "num_classes": 3}


def test_the_small_resnet_has_the_parameters_that_its_layers_add_up_to() -> None:
    model = architectures.build("resnet-small", RESNET)
    stem = 9 * 16 + 32
    first = 2 * (9 * 16 * 16 + 32)
    second = 9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 3 * 64
    third = 9 * 32 * 64 + 9 * 64 * 64 + 32 * 64 + 3 * 128
    head = 64 * 10 + 10
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == stem + first + second + third + head == 77_754


@pytest.mark.parametrize(("name", "config"), [("resnet-small", RESNET), ("mlp", MLP)])
def test_every_architecture_maps_its_input_shape_to_logits(
    name: str, config: dict[str, Any]
) -> None:
    model = architectures.build(name, config).eval()
    logits = model(torch.zeros(5, *architectures.input_shape(name, config)))
    assert logits.shape == (5, architectures.num_classes(name, config))


def test_input_shapes_follow_the_config() -> None:
    assert architectures.input_shape("resnet-small", RESNET) == (1, 8, 8)
    assert architectures.input_shape("mlp", MLP) == (4,)


def test_a_network_on_the_meta_device_takes_no_memory() -> None:
    with torch.device("meta"):
        model = architectures.build("mlp", {**MLP, "in_features": 65_536, "hidden": [4_096] * 8})
    assert all(parameter.is_meta for parameter in model.parameters())


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownArchitecture, match="mlp, resnet-small"):
        architectures.build("os.system", {})


@pytest.mark.parametrize(
    ("name", "config", "field"),
    [
        ("resnet-small", {**RESNET, "depth": 3}, "depth"),
        ("resnet-small", {"num_classes": 10}, "image_size"),
        ("resnet-small", {**RESNET, "num_classes": 1}, "num_classes"),
        ("resnet-small", {**RESNET, "image_size": 513}, "image_size"),
        ("resnet-small", {**RESNET, "in_channels": "1"}, "in_channels"),
        ("mlp", {**MLP, "hidden": []}, "hidden"),
        ("mlp", {**MLP, "hidden": [8] * 9}, "hidden"),
        ("mlp", {**MLP, "hidden": [8, 4_097]}, r"hidden\.1"),
        ("mlp", {**MLP, "in_features": 0}, "in_features"),
    ],
)
def test_a_faulty_config_is_refused_by_field(name: str, config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArchitectureConfig, match=rf"config\.{field}: "):
        architectures.parse_config(name, config)


def test_a_refused_config_value_is_not_repeated() -> None:
    with pytest.raises(InvalidArchitectureConfig) as caught:
        architectures.parse_config("mlp", {**MLP, "in_features": "alice@example.org"})
    assert "alice" not in str(caught.value)


def stored() -> dict[str, TensorInfo]:
    return dict(architectures.expected_tensors("mlp", MLP))


def test_the_weights_of_the_architecture_itself_fit() -> None:
    architectures.check_weights("mlp", MLP, stored())
    resnet = architectures.expected_tensors("resnet-small", RESNET)
    assert resnet["bn.num_batches_tracked"] == TensorInfo((), "I64")
    assert resnet["stem.weight"] == TensorInfo((16, 1, 3, 3), "F32")
    architectures.check_weights("resnet-small", RESNET, resnet)


def test_the_first_missing_tensor_is_named() -> None:
    tensors = stored()
    del tensors["2.bias"], tensors["4.bias"]
    with pytest.raises(WeightsMismatch, match=r"'2\.bias': missing, expected shape \[6\]"):
        architectures.check_weights("mlp", MLP, tensors)


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    tensors = stored() | {"0.weight": TensorInfo((4, 8), "F32")}
    with pytest.raises(WeightsMismatch, match=r"'0\.weight': shape \[4, 8\], .*\[8, 4\]"):
        architectures.check_weights("mlp", MLP, tensors)


def test_a_tensor_of_another_dtype_is_named() -> None:
    tensors = stored() | {"0.bias": TensorInfo((8,), "I64")}
    with pytest.raises(WeightsMismatch, match=r"'0\.bias': dtype I64, expected F32"):
        architectures.check_weights("mlp", MLP, tensors)


def test_a_tensor_that_the_architecture_does_not_have_is_named() -> None:
    tensors = stored() | {"backdoor": TensorInfo((1,), "F32")}
    with pytest.raises(WeightsMismatch, match="'backdoor': not part"):
        architectures.check_weights("mlp", MLP, tensors)


class Linear(ArchitectureConfig):
    kind: ClassVar[Kind] = "dense"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (2,)

    def module(self) -> nn.Module:
        return nn.Linear(2, self.num_classes)


class FakeEntryPoint:
    def __init__(self, name: str, loaded: object) -> None:
        self.name, self.loaded = name, loaded

    def load(self) -> object:
        return self.loaded


class FakeEntryPoints(list[FakeEntryPoint]):
    @property
    def names(self) -> Iterable[str]:
        return {entry.name for entry in self}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[FakeEntryPoint]:
    entries: list[FakeEntryPoint] = []

    def find(*, group: str, name: str | None = None) -> FakeEntryPoints:
        assert group == "lotus.architectures"
        return FakeEntryPoints(entry for entry in entries if name in (None, entry.name))

    monkeypatch.setattr(architectures, "entry_points", find)
    return entries


def test_an_installed_package_can_add_an_architecture(installed: list[FakeEntryPoint]) -> None:
    installed.append(FakeEntryPoint("linear", Linear))
    assert architectures.names() == ["linear", "mlp", "resnet-small"]
    assert isinstance(architectures.build("linear", {"num_classes": 4}), nn.Linear)


def test_an_installed_package_cannot_replace_a_built_in_architecture(
    installed: list[FakeEntryPoint],
) -> None:
    installed.append(FakeEntryPoint("mlp", Linear))
    assert architectures.config_type("mlp") is architectures.MlpConfig


def test_an_entry_point_that_is_no_architecture_is_refused(
    installed: list[FakeEntryPoint],
) -> None:
    installed.append(FakeEntryPoint("odd", print))
    with pytest.raises(architectures.ArchitectureError, match="no ArchitectureConfig"):
        architectures.build("odd", {})
