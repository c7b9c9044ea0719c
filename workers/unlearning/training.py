"""What every method's training has in common: shuffled batches, steps, a loss that stays finite.

A method's own file holds its loss and its order of passes; nothing here knows a method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning import weights
from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import NonFiniteLoss, TooFewRows
from workers.unlearning.execution import Execution
from workers.unlearning.settings import MethodConfig
from workers.unlearning.views import View

# Mean loss over a part of a batch, given by its place in the batch.
PartLoss = Callable[[slice], Tensor]


@dataclass
class Training:
    """One model under training. `generator` draws what is drawn for the whole run and the order of
    rows; `noise` draws on the device what is drawn for every batch."""

    model: nn.Module
    view: View
    execution: Execution
    generator: torch.Generator
    noise: torch.Generator
    steps: int = 0  # optimizer steps so far
    fewest_parts: int = 1  # that a batch is computed in
    largest_part: int | None = None  # rows that fit in memory, once it ran out
    _losses: list[tuple[Tensor, int]] = field(default_factory=list)

    @classmethod
    def of(
        cls, model: nn.Module, view: View, config: MethodConfig, generator: torch.Generator
    ) -> Training:
        execution = Execution.of(config, model)
        execution.lay_out(model)
        noise = generator
        if execution.device.type != generator.device.type:
            seed = torch.randint(2**62, (), generator=generator, device=generator.device)
            noise = torch.Generator(execution.device).manual_seed(int(seed))
        return cls(model, view, execution, generator, noise, fewest_parts=config.accumulate)

    def batches(self, rows: int, size: int) -> list[Tensor]:
        """Row indices (b,) of one pass in random order, on the device.

        A last batch of a single row joins the one before it if the network has BatchNorm, which has
        no statistics for one row.
        """
        order = torch.randperm(rows, generator=self.generator, device=self.generator.device)
        batches = list(torch.split(order.to(self.execution.device), size))
        if len(batches) > 1 and len(batches[-1]) < weights.fewest_rows(self.model):
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches

    def endless_batches(self, rows: int, size: int) -> Iterator[Tensor]:
        """As `batches`, pass after pass, each in an order of its own."""
        while True:
            yield from self.batches(rows, size)

    def subset(self, samples: LabelledSet, fraction: float) -> LabelledSet:
        """A share of the set, at least one row, drawn once without replacement."""
        return samples.select(self.subset_rows(samples, fraction))

    def subset_rows(self, samples: LabelledSet, fraction: float) -> Tensor:
        """The places of such a share in the set."""
        size = max(1, round(fraction * len(samples)))
        order = torch.randperm(len(samples), generator=self.generator, device=self.generator.device)
        return order[:size].to(samples.labels.device)

    def sample(self, samples: LabelledSet, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (b, *input_shape) as training sees them, and labels (b,), on the device."""
        rows = rows.to(samples.labels.device)
        stored = samples.inputs[rows].to(self.execution.device, non_blocking=True)
        labels = samples.labels[rows].to(self.execution.device, non_blocking=True)
        return self.execution.place(self.view.training(stored, self.noise)), labels

    def logits(self, inputs: Tensor) -> Tensor:
        return self.execution.forward(self.model, inputs)

    def step(self, optimizer: torch.optim.Optimizer, rows: int, loss_of: PartLoss) -> None:
        """One optimizer step over a batch of `rows`, whose mean loss `loss_of` computes.

        When device memory runs out the batch is halved, as often as it takes, and the gradients of
        its parts are added up: the same step, except that BatchNorm then sees smaller batches.
        """
        needed = weights.fewest_rows(self.model)
        if rows < needed:
            raise TooFewRows(rows, needed)
        while True:
            optimizer.zero_grad()
            loss = self._accumulate(rows, loss_of)
            if loss is not None:
                break
        optimizer.step()
        self.steps += 1
        self._losses.append((loss, rows))

    def gradients(self, rows: int, loss_of: PartLoss) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss () of a batch and its gradients by parameter name; no weight moves.

        Halved like a step where memory runs out. Parameters that do not take part are left out.
        """
        while True:
            self.model.zero_grad()
            loss = self._accumulate(rows, loss_of)
            if loss is not None:
                break
        named = self.model.named_parameters()
        found = {name: p.grad for name, p in named if p.grad is not None}
        self.model.zero_grad()  # forgets the tensors, does not overwrite them
        return loss, found

    def _accumulate(self, rows: int, loss_of: PartLoss) -> Tensor | None:
        """Gradients of one batch, and its loss; None if memory ran out, and parts are smaller."""
        try:
            total = torch.zeros((), device=self.execution.device)
            for part in self._parts(rows):
                share = (part.stop - part.start) / rows
                loss = loss_of(part) * share
                loss.backward()
                total += loss.detach()
            return total
        except torch.OutOfMemoryError:
            smaller = min(self.largest_part or rows, math.ceil(rows / self.fewest_parts)) // 2
            if smaller < weights.fewest_rows(self.model):
                raise
            self.largest_part = smaller
        # Outside the handler, where the failed pass no longer holds its tensors.
        if self.execution.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _parts(self, rows: int) -> list[slice]:
        size = min(self.largest_part or rows, rows)
        # Equal parts, none with fewer rows than BatchNorm needs.
        wanted = max(math.ceil(rows / size), self.fewest_parts)
        count = max(1, min(wanted, rows // weights.fewest_rows(self.model)))
        ends = [round(rows * i / count) for i in range(count + 1)]
        return [slice(start, stop) for start, stop in pairwise(ends)]

    @contextmanager
    def epoch(self, number: int) -> Iterator[None]:
        """A training pass: train mode, dropout that follows the seed, and at its end one look at
        the losses, since a NaN stays in the weights. Raises NonFiniteLoss."""
        self._losses.clear()
        self.model.train()
        seed = (self.generator.initial_seed() + number) % 2**63
        with _dropout_seed(seed, self.execution.device), self.execution.settings():
            yield
        self.model.eval()
        loss = self.mean_loss()
        if not math.isfinite(loss):
            raise NonFiniteLoss(number, len(self._losses), loss)

    def mean_loss(self) -> float:
        """Mean loss over the rows of the present epoch; NaN before its first step."""
        if not self._losses:
            return math.nan
        losses = torch.stack([loss for loss, _ in self._losses]).double()
        rows = torch.tensor([n for _, n in self._losses], dtype=torch.float64)
        return float((losses.cpu() * rows).sum() / rows.sum())


@contextmanager
def _dropout_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generators: seed the two that a run uses, and leave them as
    they were. torch.manual_seed would seed those of every other GPU, too."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def supervised_epoch(
    training: Training, optimizer: torch.optim.Optimizer, samples: LabelledSet, batch_size: int
) -> None:
    """One pass of cross-entropy over a set, in random order."""
    for rows in training.batches(len(samples), batch_size):
        inputs, labels = training.sample(samples, rows)

        def loss_of(part: slice, x: Tensor = inputs, y: Tensor = labels) -> Tensor:
            return F.cross_entropy(training.logits(x[part]), y[part])

        training.step(optimizer, len(rows), loss_of)
