"""SCRUB: the student leaves the teacher on D_f and stays with it on D_r, in turns.

Kurmanji, Triantafillou, Hayes, Triantafillou, "Towards Unbounded Machine Unlearning", NeurIPS 2023,
arXiv 2302.09880. N rows of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning import calibration, weights
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import adam
from workers.unlearning.settings import MethodConfig, flag, integer, real
from workers.unlearning.training import Training

# Loss of a part of a batch from student logits, teacher logits and labels.
DistillationLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class ScrubConfig(MethodConfig):
    """alpha, gamma   weights of KL and of cross-entropy in a min step
    temperature    T of both softmaxes
    max_epochs     epochs that begin with max steps: the authors' msteps
    rewind         SCRUB+R: keep the epoch whose forget error is closest to the validation error
    """

    epochs: int = integer(10, 1, 1_000)
    batch_size: int = integer(128, 2, 65_536)
    learning_rate: float = real(5e-4, 1e-9, 10.0)
    alpha: float = real(0.5, 0.0, 1e3)
    gamma: float = real(1.0, 0.0, 1e3)
    temperature: float = real(2.0, 1e-3, 1e3)
    max_epochs: int = integer(3, 0, 1_000)
    rewind: bool = flag(False)


def unlearn(
    model: nn.Module, data: UnlearningData, config: ScrubConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """max KL on D_f, then min gamma CE + alpha KL on D_r; see `methods.Method` for the contract.

    Student and teacher begin equal, where KL has no slope: what breaks the tie in the first max
    step is that the student is in train mode, and without BatchNorm or dropout only rounding.
    The loss of an epoch is the mean over all its steps, max steps included. The rewind is reported
    as one epoch more, without steps, whose figures are those of the weights that are kept; until
    then a copy of the weights of every epoch is held.
    """

    def away(student: Tensor, teacher: Tensor, _: Tensor) -> Tensor:
        return -divergence(student, teacher, config.temperature)

    def back(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        kl = divergence(student, teacher, config.temperature)
        return config.gamma * F.cross_entropy(student, labels) + config.alpha * kl

    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, config.epochs + int(config.rewind))
        optimizer = adam(training, config.learning_rate)
        teacher = weights.frozen_copy(model)
        checkpoints = _Checkpoints()
        for number in range(1, config.epochs + 1):
            with training.epoch(number):
                if number <= config.max_epochs:
                    _pass(training, optimizer, teacher, data.forget, config.batch_size, away)
                _pass(training, optimizer, teacher, data.retain, config.batch_size, back)
            epoch = meter.epoch(number, loss=training.mean_loss())
            if config.rewind:
                checkpoints.add(model, epoch)
            yield epoch
        if config.rewind:
            checkpoints.rewind(model, meter, data)
            yield meter.epoch(config.epochs + 1, loss=None)


def _pass(
    training: Training,
    optimizer: torch.optim.Optimizer,
    teacher: nn.Module,
    samples: LabelledSet,
    batch_size: int,
    loss: DistillationLoss,
) -> None:
    """One pass over a set in random order; teacher and student see the same view."""
    for rows in training.batches(len(samples), batch_size):
        inputs, labels = training.sample(samples, rows)

        def loss_of(part: slice, inputs: Tensor = inputs, labels: Tensor = labels) -> Tensor:
            with torch.no_grad():
                answers = training.execution.forward(teacher, inputs[part])
            return loss(training.logits(inputs[part]), answers, labels[part])

        # BatchNorm has no statistics of a forget set of one row, and uses those that it has.
        alone = len(rows) < weights.fewest_rows(training.model)
        with weights.batch_norm_frozen(training.model) if alone else nullcontext():
            training.step(optimizer, len(rows), loss_of)


def divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of softmaxes at temperature T, in nats, mean over N rows.

    The paper's distance d(x; w) has no T; the authors' code softens both sides and multiplies by
    T^2, which keeps the size of the gradient (Hinton et al., arXiv 1503.02531, section 2).
    """
    answers = torch.log_softmax(student_logits / temperature, dim=1)
    targets = torch.softmax(teacher_logits / temperature, dim=1)
    return F.kl_div(answers, targets, reduction="batchmean") * temperature**2


class _Checkpoints:
    """The weights of every epoch, and the choice among them: the paper's rewinding."""

    def __init__(self) -> None:
        self._states: list[weights.State] = []
        self._forget_errors: list[float] = []

    def add(self, model: nn.Module, epoch: Epoch) -> None:
        # On the host: a device would soon be full of them.
        self._states.append({k: v.cpu() for k, v in weights.snapshot(model).items()})
        self._forget_errors.append(1.0 - epoch.forget_accuracy)

    def rewind(self, model: nn.Module, meter: Meter, data: UnlearningData) -> None:
        """Back to the forget error that is closest to the last student's error on D_u,val.

        The paper asks for a validation set distributed like D_f: here its rows are weighted to
        D_f's classes.
        """
        unseen = meter.answers(data.validation)
        labels = data.validation.labels.cpu()
        reference = 1.0 - calibration.unseen_accuracy(unseen, labels, data.forget.labels.cpu())
        weights.restore(model, self._states[closest(self._forget_errors, reference)])


def closest(errors: list[float], reference: float) -> int:
    """Place of the error that is closest to the reference; the later of two equals."""
    return min(range(len(errors)), key=lambda i: (abs(errors[i] - reference), -i))
