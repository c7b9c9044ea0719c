"""Which weights matter to a set of samples: gradients of the cross-entropy, and masks of weights.

Everything is measured in eval mode on plain inputs, so that no running statistic and no weight
moves. P parameters of one tensor, in its shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import NonFiniteGradient, NonFiniteLoss
from workers.unlearning.training import Training

ByParameter = dict[str, Tensor]

# Gradients of single samples that are held at once: 256 MiB of float32.
FLOATS_AT_ONCE = 2**26
SAMPLES_AT_ONCE = 256


def mean_gradient(training: Training, samples: LabelledSet, batch_size: int) -> ByParameter:
    """Gradient of the mean cross-entropy of a set: (P,) by name. Raises NonFiniteLoss."""
    batches = list(torch.split(torch.arange(len(samples)), batch_size))
    total: ByParameter = {}
    for rows, gradient in zip(batches, _gradients(training, samples, batches), strict=True):
        _add(total, {name: g * (len(rows) / len(samples)) for name, g in gradient.items()})
    return _finite(total)


def squared_batch_gradients(
    training: Training, samples: LabelledSet, batch_size: int
) -> ByParameter:
    """Mean over shuffled batches of the squared gradient of a batch's mean loss: (P,) by name.

    Such a square shrinks with the size of the batch, so a shorter last one is left out.
    """
    batches = training.batches(len(samples), batch_size)
    batches = [rows for rows in batches if len(rows) == len(batches[0])]
    total: ByParameter = {}
    for gradient in _gradients(training, samples, batches):
        _add(total, {name: g.square() / len(batches) for name, g in gradient.items()})
    return _finite(total)


def squared_sample_gradients(training: Training, samples: LabelledSet) -> ByParameter:
    """Mean over samples of the squared gradient of each one's loss: (P,) by name.

    The diagonal of the empirical Fisher information. Raises NonFiniteLoss.
    """
    model = training.model.eval()
    moving = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def loss_of(parameters: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(model, dict(parameters), (x[None],))
        return F.cross_entropy(logits.float(), y[None])

    of_each_sample = vmap(grad_and_value(loss_of), in_dims=(None, 0, 0))
    floats = sum(p.numel() for p in moving.values())
    at_once = min(max(FLOATS_AT_ONCE // floats, 1), SAMPLES_AT_ONCE)
    total: ByParameter = {}
    summed_loss = 0.0
    with training.execution.settings():
        for rows in torch.split(torch.arange(len(samples)), at_once):
            gradients, losses = of_each_sample(moving, *_plain(training, samples, rows))
            summed_loss += float(losses.sum())
            _add(total, {name: g.square().sum(0) / len(samples) for name, g in gradients.items()})
    _check_finite(summed_loss, math.ceil(len(samples) / at_once))
    return _finite(total)


def largest(saliency: Mapping[str, Tensor], share: float) -> ByParameter:
    """Masks (P,) bool, True for that share of all weights whose value is largest.

    Ranked over all tensors together; of equal values the first come first, so the count is exact.
    """
    ranked = torch.cat([value.flatten() for value in saliency.values()])
    order = torch.argsort(ranked, descending=True, stable=True)
    chosen = torch.zeros(len(ranked), dtype=torch.bool, device=ranked.device)
    chosen[order[: round(share * len(ranked))]] = True
    parts = torch.split(chosen, [value.numel() for value in saliency.values()])
    return {
        name: part.reshape(value.shape)
        for (name, value), part in zip(saliency.items(), parts, strict=True)
    }


def most_salient(
    training: Training, samples: LabelledSet, batch_size: int, share: float
) -> ByParameter:
    """1(|grad CE| >= gamma) over a set, gamma the value that lets `share` of all weights through:
    masks (P,) bool. SalUn, arXiv 2310.12508, equation 3."""
    gradient = mean_gradient(training, samples, batch_size)
    return largest({name: g.abs() for name, g in gradient.items()}, share)


def hold_outside(
    optimizer: torch.optim.Optimizer, model: nn.Module, mask: Mapping[str, Tensor]
) -> None:
    """From now on the optimizer's steps leave every weight outside the mask bit-equal.

    Put back after each step: to zero its gradient is not enough, since momentum and weight decay
    would still move it. Parameters that the mask does not name are held entirely.
    """
    outside = {}
    for name, parameter in model.named_parameters():
        chosen = mask.get(name)
        held = torch.ones_like(parameter, dtype=torch.bool) if chosen is None else ~chosen
        outside[name] = (parameter, held, parameter.detach().clone())

    def put_back(*_: object) -> None:
        with torch.no_grad():
            for parameter, held, original in outside.values():
                parameter.copy_(torch.where(held, original, parameter))

    optimizer.register_step_post_hook(put_back)


def _gradients(
    training: Training, samples: LabelledSet, batches: list[Tensor]
) -> Iterator[ByParameter]:
    """Of the mean cross-entropy of each batch."""
    training.model.eval()
    for step, rows in enumerate(batches, start=1):
        inputs, labels = _plain(training, samples, rows)

        def loss_of(part: slice, x: Tensor = inputs, y: Tensor = labels) -> Tensor:
            return F.cross_entropy(training.logits(x[part]), y[part])

        with training.execution.settings():
            loss, gradient = training.gradients(len(rows), loss_of)
        _check_finite(float(loss), step)
        yield gradient


def _plain(training: Training, samples: LabelledSet, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and labels of a batch on the device, never augmented."""
    device = training.execution.device
    batch = samples.select(rows.to(samples.labels.device))
    inputs = training.view.plain(batch.inputs.to(device))
    return training.execution.place(inputs), batch.labels.to(device)


def _add(total: ByParameter, part: Mapping[str, Tensor]) -> None:
    for name, value in part.items():
        total[name] = total[name] + value if name in total else value


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLoss(1, step, loss)


def _finite(total: ByParameter) -> ByParameter:
    """A NaN compares as false, and would pass for a weight of no importance."""
    bad = sum(int((~torch.isfinite(value)).sum()) for value in total.values())
    if bad:
        raise NonFiniteGradient(bad, sum(value.numel() for value in total.values()))
    return total
