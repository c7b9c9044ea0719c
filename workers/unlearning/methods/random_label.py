"""Random labels: teach the network something wrong about D_f, and the truth about D_r.

Graves, Nagisetty, Ganesh, "Amnesiac Machine Learning", AAAI 2021, arXiv 2010.10981 (there called
unlearning). n_f forget samples, C classes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.unlearning import weights
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import adam
from workers.unlearning.settings import MethodConfig, integer, real
from workers.unlearning.training import Training, supervised_epoch


@dataclass(frozen=True, kw_only=True)
class RandomLabelConfig(MethodConfig):
    """Adam on the cross-entropy of D_r and of relabelled D_f."""

    epochs: int = integer(3, 1, 1_000)
    batch_size: int = integer(128, 2, 65_536)
    learning_rate: float = real(1e-4, 1e-9, 10.0)


def unlearn(
    model: nn.Module, data: UnlearningData, config: RandomLabelConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """min CE(D_f with wrong labels, and D_r). See `methods.Method` for the contract.

    The labels are drawn once, as by the authors: drawn anew in every epoch they would teach
    uncertainty, which is another method.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, config.epochs)
        optimizer = adam(training, config.learning_rate)
        wrong = wrong_labels(data.forget.labels, data.num_classes, generator)
        samples = LabelledSet(data.forget.inputs, wrong).followed_by(data.retain)
        for number in range(1, config.epochs + 1):
            with training.epoch(number):
                supervised_epoch(training, optimizer, samples, config.batch_size)
            yield meter.epoch(number, loss=training.mean_loss())


def wrong_labels(labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """(n_f,) labels, each uniform over the C - 1 classes that are not the sample's own."""
    step = torch.randint(
        1, num_classes, labels.shape, generator=generator, device=generator.device
    ).to(labels.device)
    return (labels + step) % num_classes
