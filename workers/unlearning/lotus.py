"""LoTUS's three formulas (Spartalis et al., CVPR 2025, arXiv 2503.18314). N samples, C classes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from workers.unlearning.errors import (
    EmptySet,
    NonFiniteLogits,
    ShapeMismatch,
    TooFewClasses,
    UnlearningError,
)

# exp(-+80) is still a normal float32, and logits of any trained network over it are finite.
LARGEST_EXPONENT = 80.0


class InvalidTemperature(UnlearningError):
    """The temperature, or what it is computed from, lies outside its domain."""


def temperature(alpha: float, forget_accuracy: float, unseen_accuracy: float) -> float:
    """tau = exp(alpha (Acc(f_un, D_f) - Acc(f_orig, D_u))): the dynamic temperature, section 3.

    Above 1 while the student still does better on the forget set than the teacher does on unseen
    data (targets are smoothed), 1 at the goal, below 1 when it has gone too far.
    """
    for accuracy in (forget_accuracy, unseen_accuracy):
        if not 0.0 <= accuracy <= 1.0:
            raise InvalidTemperature("an accuracy must lie in [0, 1]")
    exponent = alpha * (forget_accuracy - unseen_accuracy)
    if not (alpha > 0.0 and abs(exponent) <= LARGEST_EXPONENT):
        raise InvalidTemperature(
            f"alpha must be positive, and alpha times the gap at most {LARGEST_EXPONENT:g}"
        )
    return math.exp(exponent)


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel(0, 1) noise, float32, on the generator's device."""
    # The negative logarithm of an exponential variate: never infinite, unlike -log(-log(0)).
    exponential = torch.empty(shape, device=generator.device).exponential_(generator=generator)
    return -exponential.log()


def targets(
    teacher_logits: Tensor,
    is_forget: Tensor,
    temperature: float,
    noise: Tensor | torch.Generator,
) -> Tensor:
    """Perturbed teacher answers (N, C), each row a distribution: the Gumbel-softmax of section 3.

    Forget rows: softmax((z + g) / tau). Retain rows: one_hot(argmax(z + g)), the limit tau -> 0+,
    which is a sample from the teacher's answer and not the label.

    teacher_logits z (N, C); is_forget (N,) bool or 0/1; noise g (N, C), or a generator to draw it.
    """
    logits = teacher_logits if teacher_logits.dtype == torch.float64 else teacher_logits.float()
    if logits.ndim != 2:
        raise ShapeMismatch("teacher logits", logits.shape, (-1, -1))
    if logits.shape[1] < 2:
        raise TooFewClasses(logits.shape[1])
    if isinstance(noise, torch.Generator):
        noise = gumbel_noise(tuple(logits.shape), noise).to(logits.device)
    if noise.shape != logits.shape:
        raise ShapeMismatch("teacher logits and noise", logits.shape, noise.shape)
    if is_forget.shape != logits.shape[:1] or bool(((is_forget != 0) & (is_forget != 1)).any()):
        raise ShapeMismatch("teacher logits and is_forget, 0 or 1", logits.shape, is_forget.shape)
    bad = int((~torch.isfinite(logits + noise)).any(dim=1).sum())
    if bad:
        raise NonFiniteLogits(bad, len(logits), "teacher logits and noise")
    if not abs(math.log(temperature) if temperature > 0.0 else math.inf) <= LARGEST_EXPONENT:
        raise InvalidTemperature("the temperature must be positive and finite")
    return perturbed_answers(logits, is_forget.bool(), temperature, noise)


def perturbed_answers(
    teacher_logits: Tensor, is_forget: Tensor, temperature: float, noise: Tensor
) -> Tensor:
    """`targets` of values that were checked before: nothing here waits for a GPU."""
    perturbed = teacher_logits + noise
    soft = F.softmax(perturbed / temperature, dim=1)
    sampled = F.one_hot(perturbed.argmax(dim=1), perturbed.shape[1]).to(soft.dtype)
    return torch.where(is_forget.unsqueeze(1), soft, sampled)


def loss(student_logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with the perturbed teacher, mean over the batch (scalar): the loss, section 3.

    -(1/N) sum_i sum_c targets_ic log softmax(student_logits)_ic
    """
    if not len(targets):
        raise EmptySet("batch's target")
    if student_logits.shape != targets.shape:
        raise ShapeMismatch("student logits and targets", student_logits.shape, targets.shape)
    log_probs = F.log_softmax(student_logits.to(targets.dtype), dim=1)
    return -(targets * log_probs).sum(dim=1).mean()
