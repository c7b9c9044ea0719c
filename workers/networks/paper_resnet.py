"""The ResNet18 of the LoTUS paper's experiments on images of 32 pixels.

Spartalis et al., arXiv 2503.18314, section 4; layout and tensor names are those of the authors'
released code. Three things differ from the ResNet18 of `resnet.py`:

- the stem is a 3x3 convolution of stride 1, and the max-pool after it stays, so that 32 pixels
  become 16, 8, 4 and 2;
- every block has a 1x1 convolution on its shortcut, also where the shape does not change, so no
  signal passes a block unaltered;
- that convolution has no norm.

11,517,568 + 576 in_channels + 513 num_classes parameters: 11,524,426 for CIFAR-10, 11,570,596 for
CIFAR-100. PyTorch's default initialisation.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ProjectedBlock(nn.Module):
    """relu(f(x) + W x), W a 1x1 convolution; (N, channels_in, H, W) to
    (N, channels_out, H / stride, W / stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.identity_conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.identity_conv(x))


class PaperResNet18(nn.Module):
    """Images (N, in_channels, H, W) shrink 16-fold before their mean is taken.

    width: channels of the stem, 64 in the paper; each stage after the first doubles them.
    """

    def __init__(self, in_channels: int, num_classes: int, *, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.fc = nn.Linear(8 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.max_pool2d(y, kernel_size=3, stride=2, padding=1)
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        logits: Tensor = self.fc(y.mean(dim=(2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ProjectedBlock(channels_in, channels_out, stride),
        ProjectedBlock(channels_out, channels_out, 1),
    )
