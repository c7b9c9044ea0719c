"""Configs of the built-in architectures: what a registered model may set, and within what bounds.

The bounds keep a config from exhausting memory. Bounds of single sizes are not enough where sizes
multiply, so the vision transformers bound patches and parameters as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import nn

from workers.networks import paper_resnet, resnet, small, vit
from workers.unlearning.planning import Kind

# ViT-H/14 has 632 million. Unlearning holds up to eight times the weights: student, teacher,
# the original and the best epoch, gradient and the optimizer's two moments.
MAX_PARAMETERS = 700_000_000
# Attention takes memory by the square of it. An image of 512 pixels has 1,024 patches of 16.
MAX_PATCHES = 1_600


def _too_many_parameters() -> PydanticCustomError:
    return PydanticCustomError(
        "parameters", f"The network would have more than {MAX_PARAMETERS:,} parameters"
    )


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


class MlpConfig(ArchitectureConfig):
    """`mlp`: fully connected layers with ReLU, for tabular features."""

    kind: ClassVar[Kind] = "dense"

    in_features: Annotated[int, Field(ge=1, le=65_536)]
    hidden: Annotated[
        list[Annotated[int, Field(ge=1, le=4_096)]], Field(min_length=1, max_length=8)
    ]

    @field_validator("hidden")
    @classmethod
    def _bounded(cls, hidden: list[int], info: ValidationInfo) -> list[int]:
        widths = [info.data.get("in_features", 1), *hidden, info.data.get("num_classes", 2)]
        if sum((one + 1) * other for one, other in pairwise(widths)) > MAX_PARAMETERS:
            raise _too_many_parameters()
        return hidden

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.in_features,)

    def module(self) -> nn.Module:
        return small.mlp(self.in_features, self.hidden, self.num_classes)


class ImageConfig(ArchitectureConfig):
    """Square images; a subclass narrows their size to what its network can take."""

    in_channels: Annotated[int, Field(ge=1, le=16)] = 3
    image_size: Annotated[int, Field(ge=4, le=512)]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.image_size, self.image_size)


class SmallCnnConfig(ImageConfig):
    """`cnn-small`: three convolutions of 32, 64 and 128 channels, no norm."""

    kind: ClassVar[Kind] = "convolutional"

    def module(self) -> nn.Module:
        return small.SmallCnn(self.in_channels, self.num_classes)


class SmallResNetConfig(ImageConfig):
    """`resnet-small`: 3x3 stem, three residual blocks of 16, 32 and 64 channels, BatchNorm."""

    kind: ClassVar[Kind] = "convolutional"

    def module(self) -> nn.Module:
        return small.SmallResNet(self.in_channels, self.num_classes)


class PaperResNet18Config(ImageConfig):
    """`resnet18-lotus`: the ResNet18 of the LoTUS paper, made for 32 pixels."""

    kind: ClassVar[Kind] = "convolutional"

    image_size: Annotated[int, Field(ge=8, le=512)]

    def module(self) -> nn.Module:
        return paper_resnet.PaperResNet18(self.in_channels, self.num_classes)


class ResNet18Config(ImageConfig):
    """`resnet18`: torchvision's layout."""

    kind: ClassVar[Kind] = "convolutional"

    image_size: Annotated[int, Field(ge=32, le=512)]

    def module(self) -> nn.Module:
        return resnet.resnet18(self.in_channels, self.num_classes)


class ResNet50Config(ResNet18Config):
    """`resnet50`: torchvision's layout, v1.5."""

    def module(self) -> nn.Module:
        return resnet.resnet50(self.in_channels, self.num_classes)


class PatchedConfig(ImageConfig):
    """Images that are cut into square patches, patch_size pixels wide."""

    kind: ClassVar[Kind] = "transformer"

    patch_size: Annotated[int, Field(ge=1, le=64)]

    @field_validator("patch_size")
    @classmethod
    def _cuts_the_image(cls, patch_size: int, info: ValidationInfo) -> int:
        # Fields are checked in the order of their declaration; a faulty one is not in the data.
        image_size = info.data.get("image_size")
        if image_size is None:
            return patch_size
        if image_size % patch_size:
            raise PydanticCustomError("patches", "Must divide image_size")
        if (image_size // patch_size) ** 2 > MAX_PATCHES:
            raise PydanticCustomError(
                "patches", f"Would cut the image into more than {MAX_PATCHES:,} patches"
            )
        return patch_size


class VitConfig(PatchedConfig):
    """`vit`: Vision Transformer of any size, torchvision's layout."""

    width: Annotated[int, Field(ge=8, le=2_048)]
    heads: Annotated[int, Field(ge=1, le=64)]
    mlp: Annotated[int, Field(ge=8, le=8_192)]
    depth: Annotated[int, Field(ge=1, le=48)]

    @field_validator("heads")
    @classmethod
    def _share_the_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("width")
        if width is not None and width % heads:
            raise PydanticCustomError("heads", "Must divide width")
        return heads

    @field_validator("depth")
    @classmethod
    def _fits_in_memory(cls, depth: int, info: ValidationInfo) -> int:
        known = info.data
        if len(known) < len(cls.model_fields) - 1:  # another field is faulty
            return depth
        parameters = vit.parameter_count(
            vit.VitSize(known["width"], depth, known["heads"], known["mlp"]),
            patches=(known["image_size"] // known["patch_size"]) ** 2,
            patch_values=known["in_channels"] * known["patch_size"] ** 2,
            num_classes=known["num_classes"],
        )
        if parameters > MAX_PARAMETERS:
            raise _too_many_parameters()
        return depth

    def module(self) -> nn.Module:
        return vit.VisionTransformer(
            vit.VitSize(self.width, self.depth, self.heads, self.mlp),
            image_size=self.image_size,
            patch_size=self.patch_size,
            in_channels=self.in_channels,
            num_classes=self.num_classes,
        )


class VitTinyConfig(PatchedConfig):
    """`vit-tiny`: width 192, depth 12, 3 heads."""

    def module(self) -> nn.Module:
        return vit.vit_tiny(self.in_channels, self.num_classes, self.image_size, self.patch_size)


class VitB16Config(ImageConfig):
    """`vit-b-16`: width 768, depth 12, 12 heads, patches of 16 pixels."""

    kind: ClassVar[Kind] = "transformer"

    image_size: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 224

    def module(self) -> nn.Module:
        return vit.vit_b_16(self.in_channels, self.num_classes, self.image_size)
