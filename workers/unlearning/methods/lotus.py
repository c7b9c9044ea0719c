"""LoTUS: the student is trained towards a teacher whose answers on D_f are made uncertain.

Spartalis et al., CVPR 2025, arXiv 2503.18314, section 3 and its algorithm. n_f forget samples,
N = n_f + |R| rows that take part, C classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.unlearning import calibration, lotus, weights
from workers.unlearning.config import LotusConfig, Mode
from workers.unlearning.data import UnlearningData
from workers.unlearning.errors import NonFiniteLoss, ShapeMismatch
from workers.unlearning.evaluation import predict
from workers.unlearning.methods.epoch import Epoch
from workers.unlearning.selection import selection_for
from workers.unlearning.steering import validation_signal


def unlearn(
    model: nn.Module, data: UnlearningData, config: LotusConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    """Unlearn D_f in place; see `methods.Method` for the contract.

    Raises NonFiniteLoss (original weights restored) and the errors of `data` and `evaluation`.
    """
    original = weights.snapshot(model)
    try:
        yield from _epochs(model, data, config, generator)
    except BaseException:  # a cancel arrives as GeneratorExit
        weights.restore(model, original)
        raise
    finally:
        model.eval()


def _epochs(
    model: nn.Module, data: UnlearningData, config: LotusConfig, generator: torch.Generator
) -> Generator[Epoch, None, None]:
    rows = _prepare(model.eval(), data, config, generator)
    student = _Student(model, _optimizer(model, config), rows, config.batch_size, generator)
    selection = selection_for(config, data)
    correct, steps, kept = rows.forget_correct, 0, weights.snapshot(model)
    for number in range(1, config.epochs + 1):
        started = time.perf_counter()
        goal, reached = _goal_and_accuracy(config, correct, len(data.forget), rows.target)
        if config.mode is Mode.RELEASED and round(reached - goal, 2) <= -0.01:
            break
        temperature = lotus.temperature(config.alpha, reached, goal)
        loss, taken = _train_epoch(student, temperature, number)
        steps += taken
        if config.bn_recalibrate:
            weights.recalibrate_batch_norm(model, rows.inputs[~rows.is_forget], config.batch_size)
        forget_logits = predict(model.eval(), data.forget.inputs)
        correct = _correct(forget_logits, data.forget.labels)
        accuracy = correct / len(data.forget)
        signal = validation_signal(model, forget_logits, data) if selection.steers else None
        best = selection.observe(accuracy - rows.target, signal)
        if best:
            kept = weights.snapshot(model)
        yield Epoch(
            number=number,
            steps=steps,
            planned_epochs=config.epochs,
            loss=loss,
            temperature=temperature,
            forget_accuracy=accuracy,
            target_accuracy=rows.target,
            accuracy_gap=accuracy - rows.target,
            validation_auc=signal.auc if signal else None,
            validation_band=signal.band if signal else None,
            best=best,
            seconds=time.perf_counter() - started,
        )
        if selection.finished:
            break
    weights.restore(model, kept)


@dataclass(frozen=True)
class _Rows:
    """The N rows that take part: D_f first, then R."""

    inputs: Tensor  # (N, *input_shape)
    is_forget: Tensor  # (N,) bool
    teacher_logits: Tensor  # (N, C)
    target: float
    forget_correct: int  # of the teacher on D_f


def _prepare(
    model: nn.Module, data: UnlearningData, config: LotusConfig, generator: torch.Generator
) -> _Rows:
    """Draw R, and run the teacher (the model as it is, in eval mode) once over all rows.

    Inputs are not augmented, so the teacher's logits never change and are computed once; Acc(f_un,
    D_f) of epoch 1 is read from them, because the student starts as the teacher.
    """
    size = max(1, round(config.retain_fraction * len(data.retain)))
    order = torch.randperm(len(data.retain), generator=generator, device=generator.device)
    chosen = order[:size].to(data.retain.inputs.device)
    inputs = torch.cat([data.forget.inputs, data.retain.inputs[chosen]])
    teacher_logits = predict(model, inputs)
    unseen_logits = predict(model, data.validation.inputs)
    if teacher_logits.shape[1] != data.num_classes:
        raise ShapeMismatch("logits and classes", teacher_logits.shape[1:], (data.num_classes,))
    device = _device(model)
    n_forget = len(data.forget)
    return _Rows(
        inputs=inputs.to(device),
        is_forget=(torch.arange(len(inputs)) < n_forget).to(device),
        teacher_logits=teacher_logits.to(device),
        target=calibration.target_accuracy(
            unseen_logits,
            data.validation.labels.cpu(),
            data.forget.labels.cpu(),
            data.whole_classes().cpu(),
            class_matched=config.class_matched,
        ),
        forget_correct=_correct(teacher_logits[:n_forget], data.forget.labels),
    )


@dataclass(frozen=True)
class _Student:
    model: nn.Module
    optimizer: torch.optim.Optimizer
    rows: _Rows
    batch_size: int
    generator: torch.Generator


def _optimizer(model: nn.Module, config: LotusConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )


def _train_epoch(student: _Student, temperature: float, epoch: int) -> tuple[float, int]:
    """One pass over D_f and R in random order: mean loss over the N rows, optimizer steps."""
    model, rows, generator = student.model.train(), student.rows, student.generator
    device = rows.inputs.device
    total = torch.zeros((), dtype=torch.float64, device=device)
    order = torch.randperm(len(rows.inputs), generator=generator, device=generator.device)
    batches = _batches(order.to(device), student.batch_size, bool(weights.batch_norms(model)))
    with _dropout_seed(generator.initial_seed() + epoch, device):
        for batch in batches:
            targets = lotus.targets(
                rows.teacher_logits[batch], rows.is_forget[batch], temperature, generator
            )
            loss = lotus.loss(model(rows.inputs[batch]), targets)
            student.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            student.optimizer.step()
            total += loss.detach() * len(batch)
    mean = float(total) / len(rows.inputs)
    # A NaN stays in the weights, so one look at the end of the epoch sees every step's.
    if not math.isfinite(mean):
        raise NonFiniteLoss(epoch, len(batches), mean)
    return mean, len(batches)


def _batches(order: Tensor, size: int, has_batch_norm: bool) -> list[Tensor]:
    """Consecutive batches; a last one of a single row joins the batch before it if the network has
    BatchNorm, which has no statistics for one row."""
    batches = list(torch.split(order, size))
    if has_batch_norm and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


@contextmanager
def _dropout_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generator: seed it, and leave it as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed % 2**63)
        yield


def _goal_and_accuracy(
    config: LotusConfig, correct: int, n_forget: int, target: float
) -> tuple[float, float]:
    """Acc(f_un, D_f) and its goal, as the temperature of this mode sees them."""
    if config.mode is Mode.RELEASED:
        return round(target, 2), round(correct / n_forget, 2)
    accuracy = calibration.smoothed_accuracy(correct, n_forget, config.smoothing, target)
    return target, accuracy


def _correct(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(dim=1) == labels.to(logits.device)).sum())


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
