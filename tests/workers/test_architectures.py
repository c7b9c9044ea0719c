"""The allow-list: what may be named, what a config may hold, which weights fit."""

from collections.abc import Iterable
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from workers import architecture_configs, architectures
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
VIT = {
    "in_channels": 1,
    "image_size": 8,
    "patch_size": 4,
    "width": 12,
    "heads": 3,
    "mlp": 20,
    "depth": 2,
    "num_classes": 10,
}
# Networks that are too large for a quick test are run at their smallest image.
SMALLEST: dict[str, dict[str, Any]] = {
    "mlp": MLP,
    "cnn-small": {"in_channels": 1, "image_size": 4, "num_classes": 10},
    "resnet-small": RESNET,
    "resnet18-lotus": {"image_size": 8, "num_classes": 10},
    "resnet18": {"image_size": 32, "num_classes": 7},
    "resnet50": {"in_channels": 1, "image_size": 32, "num_classes": 7},
    "vit": VIT,
    "vit-tiny": {"image_size": 8, "patch_size": 4, "num_classes": 5},
    "vit-b-16": {"image_size": 16, "num_classes": 5},
}


def test_every_architecture_is_tried_here() -> None:
    assert list(SMALLEST) == list(architectures.BUILT_IN)


@pytest.mark.parametrize(("name", "config"), SMALLEST.items(), ids=list(SMALLEST))
def test_every_architecture_maps_its_input_shape_to_logits(
    name: str, config: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    model = architectures.build(name, config).eval()
    inputs = torch.randn(5, *architectures.input_shape(name, config))
    with torch.inference_mode():
        logits, again = model(inputs), model(inputs)
    assert logits.shape == (5, architectures.num_classes(name, config))
    assert torch.equal(logits, again)
    # Random weights tell samples apart, so equality above means something.
    assert len(logits.unique(dim=0)) == 5


@pytest.mark.parametrize(("name", "config"), SMALLEST.items(), ids=list(SMALLEST))
def test_weights_fit_by_the_names_shapes_and_types_that_the_network_itself_has(
    name: str, config: dict[str, Any]
) -> None:
    architectures.check_weights(name, config, architectures.expected_tensors(name, config))
    expected = architectures.expected_tensors(name, config)
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    for key, info in expected.items():
        assert info == TensorInfo((), "I64") if key in counters else info.dtype == "F32"
    # One counter a BatchNorm: stem, two a block, and one a projected shortcut with a norm.
    norms = {"resnet-small": 9, "resnet18-lotus": 17, "resnet18": 20, "resnet50": 53}
    assert len(counters) == norms.get(name, 0)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["mlp"], "dense"),
        (["cnn-small", "resnet-small", "resnet18-lotus", "resnet18", "resnet50"], "convolutional"),
        (["vit", "vit-tiny", "vit-b-16"], "transformer"),
    ],
)
def test_the_kind_of_an_architecture_decides_which_settings_suit_it(
    names: list[str], kind: Kind
) -> None:
    assert {architectures.config_type(name).kind for name in names} == {kind}


def test_input_shapes_follow_the_config() -> None:
    assert architectures.input_shape("resnet-small", RESNET) == (1, 8, 8)
    assert architectures.input_shape("mlp", MLP) == (4,)
    assert architectures.input_shape("vit-b-16", {"num_classes": 2}) == (3, 224, 224)


def test_a_network_on_the_meta_device_takes_no_memory() -> None:
    with torch.device("meta"):
        model = architectures.build("mlp", {**MLP, "in_features": 65_536, "hidden": [4_096] * 8})
    assert all(parameter.is_meta for parameter in model.parameters())


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownArchitecture, match="mlp, resnet-small, resnet18, "):
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
        ("cnn-small", {"num_classes": 10, "image_size": 3}, "image_size"),
        ("resnet18-lotus", {"num_classes": 10, "image_size": 7}, "image_size"),
        ("resnet18", {"num_classes": 10, "image_size": 31}, "image_size"),
        ("resnet50", {"num_classes": 100_001, "image_size": 224}, "num_classes"),
        ("resnet50", {"num_classes": 10, "image_size": 100_000}, "image_size"),
        ("vit", {**VIT, "heads": 5}, "heads"),
        ("vit", {**VIT, "heads": 0}, "heads"),
        ("vit", {**VIT, "patch_size": 3}, "patch_size"),
        ("vit", {**VIT, "patch_size": 16}, "patch_size"),
        ("vit", {**VIT, "image_size": 512, "patch_size": 8}, "patch_size"),
        ("vit", {**VIT, "width": 1_000_000}, "width"),
        ("vit", {**VIT, "mlp": 1_000_000}, "mlp"),
        ("vit", {**VIT, "depth": 1_000}, "depth"),
        ("vit", {**VIT, "depth": 2.0}, "depth"),
        ("vit-tiny", {"num_classes": 10, "image_size": 32, "patch_size": 5}, "patch_size"),
        ("vit-b-16", {"num_classes": 10, "image_size": 100}, "image_size"),
        ("vit-b-16", {"num_classes": 10, "width": 8}, "width"),
    ],
)
def test_a_faulty_config_is_refused_by_field(name: str, config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArchitectureConfig, match=rf"config\.{field}: "):
        architectures.parse_config(name, config)


def test_a_config_whose_every_size_is_allowed_is_refused_if_together_they_are_too_many() -> None:
    huge = {"in_channels": 3, "image_size": 224, "patch_size": 14, "num_classes": 1_000}
    vit_h_14 = huge | {"width": 1_280, "heads": 16, "mlp": 5_120, "depth": 32}
    with torch.device("meta"):
        model = architectures.build("vit", vit_h_14)
    assert sum(parameter.numel() for parameter in model.parameters()) == 632_045_800
    with pytest.raises(InvalidArchitectureConfig, match=r"config\.depth: .* 700,000,000 param"):
        architectures.parse_config("vit", vit_h_14 | {"depth": 36})
    # 14 pixels are 256 patches; 100,000 classes alone are 128 million parameters.
    with pytest.raises(InvalidArchitectureConfig, match=r"config\.depth: .* 700,000,000 param"):
        architectures.parse_config("vit", vit_h_14 | {"num_classes": 100_000})


def test_every_faulty_field_of_a_config_is_named_and_no_other() -> None:
    faulty = VIT | {"patch_size": 3, "heads": 5, "depth": 0}
    with pytest.raises(InvalidArchitectureConfig) as caught:
        architectures.parse_config("vit", faulty)
    assert set(caught.value.problems) == {"patch_size", "heads", "depth"}
    with pytest.raises(InvalidArchitectureConfig) as caught:
        architectures.parse_config("vit", VIT | {"image_size": "8", "width": 0})
    assert set(caught.value.problems) == {"image_size", "width"}


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
    assert architectures.names() == sorted([*architectures.BUILT_IN, "linear"])
    assert isinstance(architectures.build("linear", {"num_classes": 4}), nn.Linear)


def test_an_installed_package_cannot_replace_a_built_in_architecture(
    installed: list[FakeEntryPoint],
) -> None:
    installed.append(FakeEntryPoint("mlp", Linear))
    assert architectures.config_type("mlp") is architecture_configs.MlpConfig


def test_an_entry_point_that_is_no_architecture_is_refused(
    installed: list[FakeEntryPoint],
) -> None:
    installed.append(FakeEntryPoint("odd", print))
    with pytest.raises(architectures.ArchitectureError, match="no ArchitectureConfig"):
        architectures.build("odd", {})


def test_weights_from_before_batch_norm_counted_its_batches_are_taken() -> None:
    config = {"in_channels": 1, "image_size": 8, "num_classes": 2}
    expected = architectures.expected_tensors("resnet-small", config)
    older = {k: v for k, v in expected.items() if not k.endswith("num_batches_tracked")}
    assert len(older) < len(expected)
    architectures.check_weights("resnet-small", config, older)
    model = architectures.build("resnet-small", config)
    state = {k: v for k, v in model.state_dict().items() if k in older}
    architectures.build("resnet-small", config).load_state_dict(state, strict=True)


def test_an_mlp_that_would_exhaust_memory_is_refused_by_its_hidden_layers() -> None:
    config = {"in_features": 65_536, "hidden": [4_096] * 8, "num_classes": 100_000}
    with pytest.raises(InvalidArchitectureConfig, match=r"config\.hidden: .*700,000,000"):
        architectures.parse_config("mlp", config)
