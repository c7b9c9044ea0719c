"""ResNet18 and ResNet50 with torchvision's names, shapes and initialisation.

He et al., arXiv 1512.03385. Weights that torchvision published for `resnet18` and `resnet50` load
with strict=True, which is why the names below are torchvision's and not ours. ResNet50 is the
variant v1.5: the stride of a bottleneck sits on its 3x3 convolution.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, (N, channels_in, H, W) to (N, width, H / stride, W / stride)."""

    expansion: ClassVar[int] = 1

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(channels_in, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, (N, channels_in, H, W) to
    (N, 4 width, H / stride, W / stride)."""

    expansion: ClassVar[int] = 4

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * self.expansion
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.downsample = _downsample(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _downsample(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    """The projection of a shortcut whose shape changes; None, and no name, where it does not."""
    if stride == 1 and channels_in == channels_out:
        return None
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
    )


class ResNet(nn.Module):
    """7x7 stem, max-pool and four stages; images (N, in_channels, H, W) shrink 32-fold.

    depths: blocks in each of the four stages.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: tuple[int, int, int, int],
        in_channels: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        outputs = [64, *(width * block.expansion for width in WIDTHS)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, outputs[i], WIDTHS[i], depths[i], stride=1 if i == 0 else 2)
            for i in range(4)
        )
        self.fc = nn.Linear(outputs[-1], num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Convolutions as in torchvision; the other layers reset themselves."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.max_pool2d(y, kernel_size=3, stride=2, padding=1)
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        logits: Tensor = self.fc(y.mean(dim=(2, 3)))
        return logits


def _stage(
    block: type[BasicBlock | Bottleneck], channels_in: int, width: int, depth: int, stride: int
) -> nn.Sequential:
    first = block(channels_in, width, stride)
    others = (block(width * block.expansion, width, 1) for _ in range(depth - 1))
    return nn.Sequential(first, *others)


def resnet18(in_channels: int, num_classes: int) -> ResNet:
    """11,689,512 parameters for RGB images of 1,000 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), in_channels, num_classes)


def resnet50(in_channels: int, num_classes: int) -> ResNet:
    """25,557,032 parameters for RGB images of 1,000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), in_channels, num_classes)
