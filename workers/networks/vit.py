"""Vision Transformer, pre-norm, with a class token and learned positions.

Dosovitskiy et al., arXiv 2010.11929. Names and shapes are those of torchvision's
`VisionTransformer`, whose published weights (`vit_b_16` and its larger kin) load with strict=True.
There is no dropout. Legend: S tokens (one a patch, and the class token), W width, H heads.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-6


@dataclass(frozen=True)
class VitSize:
    """Sizes of the encoder; heads must divide width. mlp is the hidden width of each block."""

    width: int
    depth: int
    heads: int
    mlp: int


BASE = VitSize(width=768, depth=12, heads=12, mlp=3072)  # arXiv 2010.11929, table 1
TINY = VitSize(width=192, depth=12, heads=3, mlp=768)  # DeiT-Ti, arXiv 2012.12877, table 1


class SelfAttention(nn.Module):
    """Multi-head self-attention, (N, S, W) to (N, S, W).

    Computes what `nn.MultiheadAttention` does without mask and dropout, from the same tensors.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.in_proj_bias)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        # (N, S, 3 W) to three of (N, H, S, W / H)
        parts = projected.reshape(*x.shape[:2], 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return mixed


class EncoderBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); (N, S, W) to (N, S, W)."""

    def __init__(self, size: VitSize) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(size.width, eps=LAYER_NORM_EPS)
        self.self_attention = SelfAttention(size.width, size.heads)
        self.ln_2 = nn.LayerNorm(size.width, eps=LAYER_NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(size.width, size.mlp),
            nn.GELU(),
            nn.Identity(),  # torchvision's dropout: without it the next layer would not be mlp.3
            nn.Linear(size.mlp, size.width),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attention(self.ln_1(x))
        y: Tensor = x + self.mlp(self.ln_2(x))
        return y


class Encoder(nn.Module):
    """Adds the positions, applies every block and normalises; (N, S, W) to (N, S, W)."""

    def __init__(self, tokens: int, size: VitSize) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, tokens, size.width))
        self.reset_parameters()
        self.layers = nn.Sequential(
            OrderedDict((f"encoder_layer_{i}", EncoderBlock(size)) for i in range(size.depth))
        )
        self.ln = nn.LayerNorm(size.width, eps=LAYER_NORM_EPS)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.pos_embedding, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.ln(self.layers(x + self.pos_embedding))
        return y


class VisionTransformer(nn.Module):
    """Images (N, in_channels, image_size, image_size) to logits (N, num_classes).

    Raises ValueError if patch_size does not divide image_size, or heads do not divide the width.
    """

    def __init__(
        self, size: VitSize, *, image_size: int, patch_size: int, in_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"patches of {patch_size} do not divide an image of {image_size}")
        self.conv_proj = nn.Conv2d(in_channels, size.width, patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.encoder = Encoder((image_size // patch_size) ** 2 + 1, size)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(size.width, num_classes)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.class_token)
        patch_values = self.conv_proj.weight[0].numel()
        nn.init.trunc_normal_(self.conv_proj.weight, std=1 / math.sqrt(patch_values))
        # Not zero as in torchvision: a fresh network would then give all samples the same logits.
        head = self.heads.get_submodule("head")
        assert isinstance(head, nn.Linear) and self.conv_proj.bias is not None
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        nn.init.zeros_(self.conv_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)  # (N, S - 1, W)
        class_token = self.class_token.expand(len(x), -1, -1)
        encoded = self.encoder(torch.cat([class_token, patches], dim=1))
        logits: Tensor = self.heads(encoded[:, 0])
        return logits


def vit_b_16(in_channels: int, num_classes: int, image_size: int = 224) -> VisionTransformer:
    """86,567,656 parameters for RGB images of 224 pixels and 1,000 classes."""
    return VisionTransformer(
        BASE,
        image_size=image_size,
        patch_size=16,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def vit_tiny(
    in_channels: int, num_classes: int, image_size: int, patch_size: int
) -> VisionTransformer:
    """5,717,416 parameters for RGB images of 224 pixels, patches of 16 and 1,000 classes."""
    return VisionTransformer(
        TINY,
        image_size=image_size,
        patch_size=patch_size,
        in_channels=in_channels,
        num_classes=num_classes,
    )


def parameter_count(size: VitSize, patches: int, patch_values: int, num_classes: int) -> int:
    """Parameters of a VisionTransformer without building it.

    patches: of one image; patch_values: pixels of a patch times channels.
    """
    width, mlp = size.width, size.mlp
    attention = 4 * (width * width + width)
    block = attention + 2 * width * mlp + mlp + width + 4 * width
    positions = (patches + 1) * width
    stem = patch_values * width + width + width
    return stem + positions + size.depth * block + 2 * width + width * num_classes + num_classes
