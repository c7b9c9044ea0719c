"""How stored inputs become what a network sees, batch by batch, on the device where they lie.

Images may be kept as uint8, a quarter of their size in float32. N images, D channels, H x W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from workers.unlearning.errors import ShapeMismatch, UnlearningError

BRIGHTEST = 255.0


class InvalidView(UnlearningError):
    """A view's numbers make no sense; the message says which."""


@dataclass(frozen=True)
class View:
    """mean, std     per channel, subtracted and divided by after pixels are scaled to [0, 1]
    flip          in training: mirror each image left to right with chance 1/2
    crop_padding  in training: pad by so many black pixels, cut out a random window of H x W
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    flip: bool = False
    crop_padding: int = 0

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise InvalidView(f"{len(self.mean)} means and {len(self.std)} deviations")
        if not all(map(math.isfinite, (*self.mean, *self.std))):
            raise InvalidView("means and deviations must be finite")
        if any(not value > 0.0 for value in self.std):
            raise InvalidView("a deviation must be positive")
        if self.crop_padding < 0:
            raise InvalidView("crop_padding must not be negative")

    @property
    def deterministic(self) -> bool:
        """Training sees the same inputs in every epoch, so a teacher's answers can be kept."""
        return not self.flip and self.crop_padding == 0

    def plain(self, inputs: Tensor) -> Tensor:
        """(N, ...) uint8 or float32 -> (N, ...) float32, without augmentation."""
        values = inputs.float() / BRIGHTEST if inputs.dtype == torch.uint8 else inputs
        if not self.mean:
            return values
        if values.ndim < 2 or values.shape[1] != len(self.mean):
            raise ShapeMismatch("inputs and means", values.shape, (len(self.mean),))
        shape = (1, -1, *(1,) * (values.ndim - 2))
        mean, std = (_on_device(numbers, values.device) for numbers in (self.mean, self.std))
        return (values - mean.reshape(shape)) / std.reshape(shape)

    def training(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """As `plain`, with the augmentation drawn from `generator` (on the inputs' device)."""
        if self.deterministic:
            return self.plain(inputs)
        if inputs.ndim != 4:
            raise ShapeMismatch("augmented inputs, which must be images", inputs.shape, (-1,) * 4)
        if self.crop_padding:
            inputs = _random_crops(inputs, self.crop_padding, generator)
        if self.flip:
            inputs = _random_flips(inputs, generator)
        return self.plain(inputs)


@lru_cache(maxsize=64)
def _on_device(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    """Copied once: a copy for every batch would wait for the device."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=torch.float32, device=device)


def _random_crops(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Every image cut at its own place, all in one gather."""
    n, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    corner = torch.randint(
        2 * padding + 1, (2, n, 1), generator=generator, device=generator.device
    ).to(images.device)
    rows = corner[0] + torch.arange(height, device=images.device)  # (N, H)
    columns = corner[1] + torch.arange(width, device=images.device)  # (N, W)
    image = torch.arange(n, device=images.device)
    # The channel axis stays a slice, so the result comes as (N, H, W, D).
    cut = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2)


def _random_flips(images: Tensor, generator: torch.Generator) -> Tensor:
    flipped = torch.rand(len(images), generator=generator, device=generator.device) < 0.5
    return torch.where(flipped.to(images.device)[:, None, None, None], images.flip(3), images)
