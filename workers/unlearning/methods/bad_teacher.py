"""Bad teacher: on D_f the student learns from a network that knows nothing.

Chundawat, Tarun, Mandal, Kankanhalli, "Can Bad Teaching Induce Forgetting? Unlearning in Deep
Networks Using an Incompetent Teacher", AAAI 2023, arXiv 2205.08096. b rows of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning import weights
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.initialisation import reinitialised
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import adam
from workers.unlearning.settings import MethodConfig, integer, real
from workers.unlearning.training import Training


@dataclass(frozen=True, kw_only=True)
class BadTeacherConfig(MethodConfig):
    """retain_fraction   share of D_r that takes part, drawn once a run
    temperature       of both teachers and of the student
    """

    epochs: int = integer(1, 1, 1_000)
    batch_size: int = integer(256, 2, 65_536)
    learning_rate: float = real(1e-4, 1e-9, 10.0)
    retain_fraction: float = real(0.3, 1e-6, 1.0)
    temperature: float = real(1.0, 1e-3, 1e3)


def unlearn(
    model: nn.Module, data: UnlearningData, config: BadTeacherConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """min KL(random network || student) on D_f, KL(f_orig || student) on R; no label is read.

    See `methods.Method` for the contract. Raises NotReinitialised for a network whose random twin
    cannot be made.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        meter = Meter(training, data, config.epochs)
        optimizer = adam(training, config.learning_rate)
        competent = weights.frozen_copy(model)
        incompetent = weights.frozen_copy(reinitialised(model, generator))
        training.execution.lay_out(incompetent)
        retained = training.subset(data.retain, config.retain_fraction)
        rows = data.forget.followed_by(retained)
        teachers = (incompetent, competent)
        for number in range(1, config.epochs + 1):
            with training.epoch(number):
                for batch in training.batches(len(rows), config.batch_size):
                    is_forget = batch < len(data.forget)
                    _step(training, optimizer, teachers, rows, batch, is_forget, config.temperature)
            yield meter.epoch(number, loss=training.mean_loss())


def _step(
    training: Training,
    optimizer: torch.optim.Optimizer,
    teachers: tuple[nn.Module, nn.Module],
    rows: LabelledSet,
    batch: Tensor,
    is_forget: Tensor,
    temperature: float,
) -> None:
    inputs, _ = training.sample(rows, batch)

    def loss_of(part: slice) -> Tensor:
        with torch.no_grad():
            bad, good = (training.execution.forward(t, inputs[part]) for t in teachers)
        targets = teacher_targets(bad, good, is_forget[part], temperature)
        return divergence(targets, training.logits(inputs[part]), temperature)

    training.step(optimizer, len(batch), loss_of)


def teacher_targets(
    incompetent: Tensor, competent: Tensor, is_forget: Tensor, temperature: float
) -> Tensor:
    """(b, C) probabilities: the random network's where `is_forget` (b,), else f_orig's."""
    logits = torch.where(is_forget[:, None], incompetent, competent)
    return torch.softmax(logits / temperature, dim=1)


def divergence(targets: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """KL(targets || student) in nats, mean over rows.

    The authors' code also divides by C, a constant that Adam's step hardly sees.
    """
    answers = torch.log_softmax(student_logits / temperature, dim=1)
    return F.kl_div(answers, targets, reduction="batchmean")
