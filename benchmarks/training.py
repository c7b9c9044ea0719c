"""Training from scratch, as the owner of a small image classifier would do it.

25 epochs memorise 500 samples completely, which is what makes forgetting measurable at all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.data import NUM_CLASSES
from workers.networks.small import SmallResNet
from workers.unlearning.data import LabelledSet

EPOCHS = 25
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
LARGEST_LEARNING_RATE = 2e-3


def small_resnet(seed: int, *, in_channels: int = 1, num_classes: int = NUM_CLASSES) -> nn.Module:
    """Fresh weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallResNet(in_channels, num_classes)


def train(
    network: nn.Module, samples: LabelledSet, seed: int, *, epochs: int = EPOCHS
) -> nn.Module:
    """Trains in place with AdamW on a one-cycle schedule and returns the network in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    batches = -(-len(samples) // BATCH_SIZE)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LARGEST_LEARNING_RATE, total_steps=epochs * batches
    )
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(samples), generator=generator)
        for rows in torch.split(order, BATCH_SIZE):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(network(samples.inputs[rows]), samples.labels[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


def trained(samples: LabelledSet, seed: int, *, epochs: int = EPOCHS) -> nn.Module:
    """A small ResNet trained on the samples; initial weights and batches depend on the seed."""
    return train(small_resnet(seed), samples, seed, epochs=epochs)
