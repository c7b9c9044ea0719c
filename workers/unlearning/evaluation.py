"""One batched pass per model and set, in eval mode: everything that verification reads.

N samples, C classes, K small perturbations of each input.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import (
    EmptyForgetSet,
    EmptySet,
    LabelOutOfRange,
    NonFiniteLogits,
    NotInEvalMode,
    ShapeMismatch,
    TooFewClasses,
)
from workers.unlearning.scores import evidence

# Standard deviations of feature noise, in units of each feature's own deviation.
FEATURE_NOISE = 0.1
FEATURE_NOISE_DRAWS = 4
NOISE_SEED = 20_250_318


@dataclass(frozen=True)
class EvaluationSets:
    """`retain` is a sample of the retain set; `validation` steers, `test` verifies.

    `validation` may be empty: then the test set stands in for it, split in two where needed.
    """

    forget: LabelledSet
    retain: LabelledSet
    validation: LabelledSet
    test: LabelledSet


@dataclass(frozen=True)
class SetObservation:
    """What one model says about one set."""

    logits: NDArray[np.float32]  # (N, C)
    labels: NDArray[np.int64]  # (N,)
    shifted_evidence: NDArray[np.float32] | None = None  # (N,) mean phi under K perturbations

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Observation:
    """Everything that verification needs of one model."""

    forget: SetObservation
    retain: SetObservation
    validation: SetObservation
    test: SetObservation

    @property
    def num_classes(self) -> int:
        return int(self.forget.logits.shape[1])


def require_eval_mode(model: nn.Module) -> None:
    training = [name for name, module in model.named_modules() if module.training]
    if training:
        raise NotInEvalMode(training)


def predict(
    model: nn.Module,
    inputs: Tensor,
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> Tensor:
    """(N, *input_shape) -> (N, C) float32 logits on the CPU.

    `device` is where the model lives; by default that of its first parameter.
    """
    require_eval_mode(model)
    target = _device(model, device)
    with torch.inference_mode():
        parts = [
            model(batch.to(target, non_blocking=True)).float().cpu()
            for batch in torch.split(inputs, batch_size)
        ]
    logits = torch.cat(parts) if len(inputs) else torch.empty(0, 0)
    _check_logits(logits, len(inputs))
    return logits


def observe(
    model: nn.Module,
    sets: EvaluationSets,
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> Observation:
    """Logits of every set, and for forget, validation and test those of perturbed inputs.

    The perturbations are the same for every model that is observed.
    """
    if not len(sets.forget.labels):
        raise EmptyForgetSet("an observation")
    for name, subset in (("retain", sets.retain), ("test", sets.test)):
        if not len(subset.labels):
            raise EmptySet(name)

    target = _device(model, device)

    def look(subset: LabelledSet) -> SetObservation:
        return _observe_set(model, subset, batch_size, target)

    def look_twice(subset: LabelledSet, salt: int) -> SetObservation:
        views = perturbations(subset.inputs, sets.test.inputs, salt)
        return _with_perturbed(look(subset), model, views, batch_size, target)

    forget = look_twice(sets.forget, 0)
    seen = bool(len(sets.validation.labels))
    return Observation(
        forget=forget,
        retain=look(sets.retain),
        validation=look_twice(sets.validation, 1) if seen else _nothing(forget.logits.shape[1]),
        test=look_twice(sets.test, 2),
    )


def _observe_set(
    model: nn.Module, subset: LabelledSet, batch_size: int, device: torch.device
) -> SetObservation:
    if subset.inputs.shape[0] != subset.labels.shape[0]:
        raise ShapeMismatch("inputs and labels", subset.inputs.shape, subset.labels.shape)
    logits = predict(model, subset.inputs, batch_size=batch_size, device=device)
    labels = subset.labels.cpu().numpy().astype(np.int64)
    outside = int(((labels < 0) | (labels >= logits.shape[1])).sum())
    if outside:
        raise LabelOutOfRange(outside, len(labels), logits.shape[1])
    return SetObservation(logits.numpy(), labels)


def _with_perturbed(
    seen: SetObservation,
    model: nn.Module,
    views: list[Tensor],
    batch_size: int,
    device: torch.device,
) -> SetObservation:
    total = np.zeros(len(seen))
    for view in views:
        logits = predict(model, view, batch_size=batch_size, device=device)
        total += evidence(logits.numpy().astype(np.float64), seen.labels)
    return replace(seen, shifted_evidence=(total / len(views)).astype(np.float32))


def perturbations(inputs: Tensor, reference: Tensor, salt: int) -> list[Tensor]:
    """Four one-pixel shifts of images (N, channels, H, W); seeded small noise on other inputs."""
    if inputs.ndim == 4:
        framed = nn.functional.pad(inputs, (1, 1, 1, 1), mode="replicate")
        height, width = inputs.shape[-2:]
        return [
            framed[..., top : top + height, left : left + width]
            for top, left in ((0, 1), (2, 1), (1, 0), (1, 2))
        ]
    generator = torch.Generator().manual_seed(NOISE_SEED + salt)
    scale = FEATURE_NOISE * reference.std(dim=0, unbiased=False)
    # Drawn on the CPU, so that the noise is the same on every device.
    return [
        inputs + scale * torch.randn(inputs.shape, generator=generator).to(inputs.device)
        for _ in range(FEATURE_NOISE_DRAWS)
    ]


def _device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _check_logits(logits: Tensor, rows: int) -> None:
    if not rows:
        return
    if logits.ndim != 2 or len(logits) != rows:
        raise ShapeMismatch("logits and inputs", logits.shape, (rows,))
    if logits.shape[1] < 2:
        raise TooFewClasses(logits.shape[1])
    bad = int((~torch.isfinite(logits)).any(dim=1).sum())
    if bad:
        raise NonFiniteLogits(bad, rows)


def _nothing(num_classes: int) -> SetObservation:
    return SetObservation(
        np.empty((0, num_classes), np.float32), np.empty(0, np.int64), np.empty(0, np.float32)
    )
