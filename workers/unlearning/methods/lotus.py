"""LoTUS: the student is trained towards a teacher whose answers on D_f are made uncertain.

Spartalis et al., CVPR 2025, arXiv 2503.18314, section 3 and its algorithm. n_f forget samples,
N = n_f + |R| rows that take part, b rows of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.unlearning import calibration, lotus, weights
from workers.unlearning.config import LotusConfig, Mode
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.errors import NonFiniteLogits
from workers.unlearning.evaluation import predict
from workers.unlearning.methods.epoch import Epoch, Meter
from workers.unlearning.optimizers import adamw
from workers.unlearning.selection import selection_for
from workers.unlearning.training import Training


def unlearn(
    model: nn.Module, data: UnlearningData, config: LotusConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """Unlearn D_f in place; see `methods.Method` for the contract.

    Raises NonFiniteLoss (original weights restored) and the errors of `data` and `evaluation`.
    """
    with weights.restored_on_error(model):
        training = Training.of(model, data.view, config, generator)
        # D_f, then R: a share of D_r that is drawn once.
        share = training.subset_rows(data.retain, config.retain_fraction)
        rows = data.forget.followed_by(data.retain.select(share))
        meter = Meter(training, data, config.epochs, class_matched=config.class_matched)
        teacher = _Teacher.of(training, rows, data, share)
        selection = selection_for(config, data)
        optimizer = adamw(training, config.learning_rate, config.weight_decay, config.betas)
        # The student starts as the teacher, so its first accuracy is the teacher's.
        forget_logits = teacher.forget_logits(meter)
        kept = weights.snapshot(model)
        for number in range(1, config.epochs + 1):
            reached, goal = _accuracy_and_goal(training, meter, config, forget_logits)
            if config.mode is Mode.RELEASED and round(reached - goal, 2) <= -0.01:
                break
            temperature = lotus.temperature(config.alpha, reached, goal)
            with training.epoch(number):
                for batch in training.batches(len(rows), config.batch_size):
                    _step(training, optimizer, teacher, batch, temperature)
            if config.bn_recalibrate:
                retained = rows.inputs[len(data.forget) :]
                with training.execution.settings():
                    weights.recalibrate_batch_norm(model, retained, config.batch_size, data.view)
            forget_logits = meter.answers(data.forget)
            signal = meter.signal(forget_logits) if selection.steers else None
            gap = calibration.accuracy(forget_logits, data.forget.labels.cpu()) - meter.target
            best = selection.observe(gap, signal)
            if best:
                kept = weights.snapshot(model)
            yield meter.epoch(
                number,
                loss=training.mean_loss(),
                forget_logits=forget_logits,
                temperature=temperature,
                signal=signal,
                best=best,
            )
            if selection.finished:
                break
        weights.restore(model, kept)


@dataclass(frozen=True)
class _Teacher:
    """f_orig, frozen. Where training always sees the same inputs its answers never change, and are
    computed once; augmented inputs it has to see each time, since teacher and student must answer
    about the same view."""

    rows: LabelledSet  # (N, ...), D_f first
    n_forget: int
    num_classes: int
    logits: Tensor | None  # (N, C)
    model: nn.Module | None

    @classmethod
    def of(
        cls, training: Training, rows: LabelledSet, data: UnlearningData, share: Tensor
    ) -> _Teacher:
        """`share`: the places in D_r of the rows that follow D_f."""
        model, execution = training.model.eval(), training.execution
        sizes = (len(data.forget), data.num_classes)
        if not training.view.deterministic:
            return cls(rows, *sizes, None, weights.frozen_copy(model))
        if data.original is not None:
            kept = data.original
            logits = torch.cat([kept.forget, kept.retain[share.to(kept.retain.device)]])
        else:
            with execution.settings():
                logits = predict(
                    model, rows.inputs, view=training.view, bfloat16=execution.bfloat16
                )
        return cls(rows, *sizes, logits.to(execution.device), None)

    def forget_logits(self, meter: Meter) -> Tensor:
        """(n_f, C)"""
        if self.logits is None:
            return meter.answers(meter.data.forget)
        return self.logits[: self.n_forget].cpu()

    def answers(self, training: Training, batch: Tensor, inputs: Tensor) -> Tensor:
        """(b, C) logits about the inputs that the student gets."""
        if self.logits is not None:
            return self.logits[batch]
        assert self.model is not None
        with torch.no_grad():
            logits = training.execution.forward(self.model, inputs)
        bad = int((~torch.isfinite(logits)).any(dim=1).sum())
        if bad:  # argmax would take a NaN for an answer
            raise NonFiniteLogits(bad, len(logits), "teacher logits")
        return logits


def _step(
    training: Training,
    optimizer: torch.optim.Optimizer,
    teacher: _Teacher,
    batch: Tensor,
    temperature: float,
) -> None:
    """One batch (b,) of D_f and R towards the perturbed teacher."""
    inputs, _ = training.sample(teacher.rows, batch)
    noise = lotus.gumbel_noise((len(batch), teacher.num_classes), training.noise)
    noise, is_forget = noise.to(inputs.device), batch < teacher.n_forget

    def loss_of(part: slice) -> Tensor:
        answers = teacher.answers(training, batch[part], inputs[part])
        targets = lotus.perturbed_answers(answers, is_forget[part], temperature, noise[part])
        return lotus.loss(training.logits(inputs[part]), targets)

    training.step(optimizer, len(batch), loss_of)


def _accuracy_and_goal(
    training: Training, meter: Meter, config: LotusConfig, forget_logits: Tensor
) -> tuple[float, float]:
    """Acc(f_un, D_f) and its goal, as the temperature of this mode sees them."""
    labels = meter.data.forget.labels.cpu()
    if config.mode is Mode.RELEASED:
        if not training.view.deterministic:
            forget_logits = _augmented_answers(training, meter.data.forget, config.batch_size)
        return round(calibration.accuracy(forget_logits, labels), 2), round(meter.target, 2)
    correct = int((forget_logits.argmax(dim=1) == labels).sum())
    reached = calibration.smoothed_accuracy(correct, len(labels), config.smoothing, meter.target)
    return reached, meter.target


def _augmented_answers(training: Training, samples: LabelledSet, batch_size: int) -> Tensor:
    """(N, C) logits about augmented inputs: how the released code measures Acc(f_un, D_f)."""
    rows = torch.split(torch.arange(len(samples)), batch_size)
    with torch.no_grad(), training.execution.settings():
        return torch.cat([training.logits(training.sample(samples, r)[0]).cpu() for r in rows])
