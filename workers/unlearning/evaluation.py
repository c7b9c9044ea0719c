"""One batched pass per model and set, in eval mode: everything that verification reads.

N samples, C classes, K small perturbations of each input.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

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
from workers.unlearning.execution import device_of
from workers.unlearning.scores import evidence
from workers.unlearning.views import View

# Standard deviations of feature noise, in units of each feature's own deviation.
FEATURE_NOISE = 0.1
FEATURE_NOISE_DRAWS = 4
NOISE_SEED = 20_250_318
BATCH_SIZE = 512


@dataclass(frozen=True)
class EvaluationSets:
    """`retain` is a sample of the retain set; `validation` steers, `test` verifies.

    `validation` may be empty: then the test set stands in for it, split in two where needed.
    """

    forget: LabelledSet
    retain: LabelledSet
    validation: LabelledSet
    test: LabelledSet
    view: View = field(default_factory=View)


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
    view: View | None = None,
    batch_size: int = BATCH_SIZE,
    bfloat16: bool = False,
    device: torch.device | str | None = None,
) -> Tensor:
    """(N, *input_shape) -> (N, C) float32 logits on the CPU, batch by batch, never augmented.

    `view` says what the network sees of stored inputs. `bfloat16`: forward under autocast.
    `device` is where the model lives; by default that of its first parameter. Where its memory runs
    out the batch is halved, as often as it takes.
    """
    require_eval_mode(model)
    target = device_of(model) if device is None else torch.device(device)
    if not len(inputs):
        return torch.empty(0, 0)
    seen = (view or View()).plain

    def answers(size: int) -> Tensor | None:
        # They stay on the device until the last one: a copy after every batch would wait for it.
        try:
            return torch.cat(
                [
                    model(seen(batch.to(target, non_blocking=True))).float()
                    for batch in torch.split(inputs, size)
                ]
            )
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        return None

    size = min(max(1, batch_size), len(inputs))
    with torch.inference_mode(), torch.autocast(target.type, torch.bfloat16, enabled=bfloat16):
        found = answers(size)
        while found is None:
            size //= 2
            found = answers(size)
    logits = found.cpu()
    _check_logits(logits, len(inputs))
    return logits


def observe(
    model: nn.Module,
    sets: EvaluationSets,
    *,
    batch_size: int = BATCH_SIZE,
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

    def answers(inputs: Tensor) -> NDArray[np.float32]:
        found: NDArray[np.float32] = predict(
            model, inputs, view=sets.view, batch_size=batch_size, device=device
        ).numpy()
        return found

    def look(subset: LabelledSet) -> SetObservation:
        return _labelled(answers(subset.inputs), subset)

    def look_twice(subset: LabelledSet, salt: int) -> SetObservation:
        seen = look(subset)
        shifted = [
            evidence(answers(inputs).astype(np.float64), seen.labels)
            for inputs in perturbations(subset.inputs, sets.test.inputs, salt)
        ]
        return replace(seen, shifted_evidence=np.mean(shifted, axis=0).astype(np.float32))

    forget = look_twice(sets.forget, 0)
    seen = bool(len(sets.validation.labels))
    return Observation(
        forget=forget,
        retain=look(sets.retain),
        validation=look_twice(sets.validation, 1) if seen else _nothing(forget.logits.shape[1]),
        test=look_twice(sets.test, 2),
    )


def _labelled(logits: NDArray[np.float32], subset: LabelledSet) -> SetObservation:
    if subset.inputs.shape[0] != subset.labels.shape[0]:
        raise ShapeMismatch("inputs and labels", subset.inputs.shape, subset.labels.shape)
    labels = subset.labels.cpu().numpy().astype(np.int64)
    outside = int(((labels < 0) | (labels >= logits.shape[1])).sum())
    if outside:
        raise LabelOutOfRange(outside, len(labels), logits.shape[1])
    return SetObservation(logits, labels)


def perturbations(inputs: Tensor, reference: Tensor, salt: int) -> Iterator[Tensor]:
    """Four one-pixel shifts of images (N, channels, H, W); seeded small noise on other inputs.

    One after the other, so that a single copy of the set is held at a time.
    """
    if inputs.ndim == 4:
        for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            yield _shifted(inputs, down, right)
        return
    generator = torch.Generator().manual_seed(NOISE_SEED + salt)
    scale = FEATURE_NOISE * reference.std(dim=0, unbiased=False)
    for _ in range(FEATURE_NOISE_DRAWS):
        # Drawn on the CPU, so that the noise is the same on every device.
        noise = torch.randn(inputs.shape, generator=generator)
        yield inputs + scale * noise.to(inputs.device)


def _shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Images moved by whole pixels; what comes in at an edge repeats it."""
    height, width = images.shape[-2:]
    rows = (torch.arange(height, device=images.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp(0, width - 1)
    return images[..., rows, :][..., columns]


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
