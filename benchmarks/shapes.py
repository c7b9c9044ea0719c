"""What the speed of unlearning is measured on: networks and random images of a given shape.

Speed does not depend on what the images show, so they are random; a network with random weights
does the same arithmetic as a trained one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from workers.networks.paper_resnet import PaperResNet18
from workers.networks.vit import VisionTransformer, VitSize, vit_b_16
from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet
from workers.unlearning.planning import Kind, paper_settings
from workers.unlearning.views import View

CLASSES = 10
# An eighth and a quarter of ViT-B's width, half its depth.
NARROW_VIT = VitSize(width=96, depth=6, heads=3, mlp=384)
SMALL_VIT = VitSize(width=192, depth=6, heads=3, mlp=768)


@dataclass(frozen=True)
class Shape:
    """A forget share of 10 %, as in the paper; sizes in rows."""

    name: str
    kind: Kind
    pixels: int
    network: Callable[[], nn.Module]
    forget: int
    retain: int
    held_out: int  # validation rows, and as many test rows
    evaluated: int  # at most so many retain rows are evaluated
    epochs: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (3, self.pixels, self.pixels)

    @property
    def config(self) -> LotusConfig:
        """The paper's settings for this kind of network."""
        return replace(paper_settings(self.kind), epochs=self.epochs)

    @property
    def participants(self) -> int:
        """N = n_f + |R|."""
        return self.forget + round(self.config.retain_fraction * self.retain)

    @property
    def published_forwards(self) -> int:
        """In units of one sample's forward pass; a backward pass is two."""
        per_epoch = self.forget + 4 * self.participants
        return self.held_out + self.epochs * per_epoch

    @property
    def fast_forwards(self) -> int:
        per_epoch = self.forget + 3 * self.participants
        return self.held_out + self.participants + self.epochs * per_epoch


VIEW = View(mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))


def shapes(device: torch.device, *, quick: bool) -> list[Shape]:
    """On a GPU the paper's own shapes; on a CPU the same networks, narrower and on fewer rows."""
    if device.type == "cuda":
        scale = 5 if quick else 1
        return [
            Shape(
                "ResNet18, 32 px",
                "convolutional",
                32,
                lambda: PaperResNet18(3, CLASSES),
                5_000 // scale,
                45_000 // scale,
                5_000 // scale,
                2_000 // scale,
                10,
            ),
            Shape(
                "ViT-B/16, 224 px",
                "transformer",
                224,
                lambda: vit_b_16(3, CLASSES),
                500 // scale,
                4_500 // scale,
                500 // scale,
                500 // scale,
                3,
            ),
        ]
    width, vit, rows = (16, NARROW_VIT, 50) if quick else (64, SMALL_VIT, 100)
    return [
        Shape(
            f"ResNet18 of width {width}, 32 px",
            "convolutional",
            32,
            lambda: PaperResNet18(3, CLASSES, width=width),
            rows,
            9 * rows,
            2 * rows,
            4 * rows,
            10,
        ),
        Shape(
            f"ViT of width {vit.width}, depth {vit.depth}, 64 px in patches of 16",
            "transformer",
            64,
            lambda: VisionTransformer(
                vit, image_size=64, patch_size=16, in_channels=3, num_classes=CLASSES
            ),
            rows,
            9 * rows,
            2 * rows,
            4 * rows,
            3,
        ),
    ]


def fresh(shape: Shape, device: torch.device) -> nn.Module:
    """The same weights at every call."""
    torch.manual_seed(0)
    return shape.network().to(device).eval()


def random_sets(shape: Shape, device: torch.device | str) -> dict[str, LabelledSet]:
    """Random uint8 images and labels: forget, retain, validation, test."""
    generator = torch.Generator().manual_seed(1)
    rows = {
        "forget": shape.forget,
        "retain": shape.retain,
        "validation": shape.held_out,
        "test": shape.held_out,
    }
    return {
        name: LabelledSet(
            torch.randint(256, (n, *shape.input_shape), generator=generator, dtype=torch.uint8).to(
                device
            ),
            torch.randint(CLASSES, (n,), generator=generator).to(device),
        )
        for name, n in rows.items()
    }
