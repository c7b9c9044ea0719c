"""The sets that a method may read: forget, retain and validation. N samples, C classes.

The test set that verifies a result is not among them, so no method can be tuned on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from workers.unlearning.errors import (
    EmptyForgetSet,
    EmptySet,
    ForgetSetTooLarge,
    LabelOutOfRange,
    NonFiniteLogits,
    ShapeMismatch,
    TooFewClasses,
    UnlearningError,
)
from workers.unlearning.views import View


class WrongDtype(UnlearningError):
    def __init__(self, what: str, expected: torch.dtype, found: torch.dtype) -> None:
        super().__init__(f"{what} must be {expected}, not {found}")


class NonFiniteInputs(UnlearningError):
    def __init__(self, rows: int, total: int) -> None:
        super().__init__(f"{rows} of {total} inputs hold NaN or infinity")


class RowOutOfRange(UnlearningError):
    def __init__(self, rows: int, asked: int, total: int) -> None:
        super().__init__(f"{rows} of {asked} rows asked for lie outside a set of {total}")


class RepeatedRows(UnlearningError):
    """A training row is named twice: within a set, or in the forget set and the retain set."""

    def __init__(self, rows: int, total: int) -> None:
        super().__init__(f"{rows} of {total} training rows are named more than once")


class DeviceMismatch(UnlearningError):
    def __init__(self, what: str) -> None:
        super().__init__(f"{what} lie on different devices")


@dataclass(frozen=True)
class LabelledSet:
    """inputs (N, *input_shape) float32, or uint8 for images (N, channels, H, W); labels (N,) int64;
    both on one device. A `View` says what a network sees of them."""

    inputs: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        stored_image = self.inputs.dtype == torch.uint8 and self.inputs.ndim == 4
        if self.inputs.dtype != torch.float32 and not stored_image:
            raise WrongDtype("inputs", torch.float32, self.inputs.dtype)
        if self.labels.dtype != torch.int64:
            raise WrongDtype("labels", torch.int64, self.labels.dtype)
        fits = self.inputs.ndim >= 2 and self.labels.shape == self.inputs.shape[:1]
        if not fits:
            raise ShapeMismatch("inputs and labels", self.inputs.shape, self.labels.shape)
        if self.inputs.device != self.labels.device:
            raise DeviceMismatch("inputs and labels")
        # A NaN or an infinity anywhere makes the sum so too; rows are counted only to say how many.
        if not stored_image and not bool(torch.isfinite(self.inputs.sum(dtype=torch.float64))):
            finite = torch.isfinite(self.inputs).flatten(1).all(dim=1)
            raise NonFiniteInputs(int((~finite).sum()), len(finite))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.inputs.shape[1:])

    def select(self, rows: Tensor) -> LabelledSet:
        """The given rows (indices or a mask), in the given order."""
        return _checked_already(self.inputs[rows], self.labels[rows])

    def followed_by(self, other: LabelledSet) -> LabelledSet:
        """The rows of both, in this order. Raises WrongDtype or ShapeMismatch."""
        if other.inputs.dtype != self.inputs.dtype:
            raise WrongDtype("inputs of both sets", self.inputs.dtype, other.inputs.dtype)
        if other.input_shape != self.input_shape:
            raise ShapeMismatch("inputs of two sets", self.input_shape, other.input_shape)
        return _checked_already(
            torch.cat([self.inputs, other.inputs]), torch.cat([self.labels, other.labels])
        )


def _checked_already(inputs: Tensor, labels: Tensor) -> LabelledSet:
    """Rows of checked sets need no second look, which on a GPU would wait for the device."""
    rows = object.__new__(LabelledSet)
    object.__setattr__(rows, "inputs", inputs)
    object.__setattr__(rows, "labels", labels)
    return rows


@dataclass(frozen=True)
class OriginalAnswers:
    """f_orig's logits (N, C) float32 about every set of a run, in eval mode, never augmented.

    `original.original_answers` makes them. They tell about persons what f_orig tells: who keeps
    them destroys them with the samples.
    """

    forget: Tensor
    retain: Tensor
    validation: Tensor


@dataclass(frozen=True)
class UnlearningData:
    """D_f, D_r and the validation half of D_u: everything that unlearning may look at, and how the
    network sees it.

    forget_ids, retain_ids   (n_f,), (n_r,) int64 names of the rows in the owner's training set,
                             each once; by default 0 to n_f - 1 and n_f to n_f + n_r - 1
    original                 kept answers of the model that will be unlearned; None: it is asked
    """

    forget: LabelledSet
    retain: LabelledSet
    validation: LabelledSet
    num_classes: int
    view: View = field(default_factory=View)
    forget_ids: Tensor | None = None
    retain_ids: Tensor | None = None
    original: OriginalAnswers | None = None

    @classmethod
    def of(
        cls,
        training: LabelledSet,
        forget_rows: Tensor,
        validation: LabelledSet,
        num_classes: int,
        view: View | None = None,
    ) -> UnlearningData:
        """From the whole training set and the places (n_f,) of the rows to forget, which become
        the rows' names. Raises RowOutOfRange, RepeatedRows, EmptyForgetSet or ForgetSetTooLarge."""
        rows = forget_rows.to(training.labels.device, torch.int64)
        outside = int(((rows < 0) | (rows >= len(training))).sum())
        if outside:
            raise RowOutOfRange(outside, len(rows), len(training))
        _require_distinct(rows)
        if len(rows) >= len(training):
            raise ForgetSetTooLarge(len(rows), len(training))
        kept = torch.ones(len(training), dtype=torch.bool, device=rows.device)
        kept[rows] = False
        others = torch.nonzero(kept).flatten()
        return cls(
            training.select(rows),
            training.select(others),
            validation,
            num_classes,
            view or View(),
            rows,
            others,
        )

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise TooFewClasses(self.num_classes)
        if len(self.forget) == 0:
            raise EmptyForgetSet()
        for name, samples in self.sets().items():
            if len(samples) == 0:
                raise EmptySet(name)
            if samples.input_shape != self.forget.input_shape:
                raise ShapeMismatch(
                    f"inputs of {name} and forget set", samples.input_shape, self.forget.input_shape
                )
            if samples.inputs.dtype != self.forget.inputs.dtype:
                raise WrongDtype(
                    f"inputs of the {name} set", self.forget.inputs.dtype, samples.inputs.dtype
                )
            if samples.inputs.device != self.forget.inputs.device:
                raise DeviceMismatch(f"{name} and forget set")
            outside = (samples.labels < 0) | (samples.labels >= self.num_classes)
            if bool(outside.any()):
                raise LabelOutOfRange(int(outside.sum()), len(samples), self.num_classes, name)
        self._check_ids()
        self._check_original()

    def _check_original(self) -> None:
        for name, samples in self.sets().items():
            if self.original is None:
                return
            logits: Tensor = getattr(self.original, name)
            expected = (len(samples), self.num_classes)
            if logits.shape != expected:
                raise ShapeMismatch(f"kept answers about {name} set", logits.shape, expected)
            bad = int((~torch.isfinite(logits)).any(dim=1).sum())
            if bad:
                raise NonFiniteLogits(bad, len(logits), f"kept answers about {name} set")

    def _check_ids(self) -> None:
        for name, ids, samples in (
            ("forget_ids", self.forget_ids, self.forget),
            ("retain_ids", self.retain_ids, self.retain),
        ):
            if (self.forget_ids is None) != (self.retain_ids is None):
                raise ShapeMismatch("forget_ids and retain_ids, both or neither", (0,), (1,))
            if ids is not None and ids.shape != samples.labels.shape:
                raise ShapeMismatch(name, ids.shape, samples.labels.shape)
        _require_distinct(torch.cat(self.row_ids()))

    def row_ids(self) -> tuple[Tensor, Tensor]:
        """(n_f,), (n_r,) int64 names of the training rows, on the CPU."""
        if self.forget_ids is None or self.retain_ids is None:
            places = torch.arange(len(self.forget) + len(self.retain))
            return places[: len(self.forget)], places[len(self.forget) :]
        return self.forget_ids.cpu().long(), self.retain_ids.cpu().long()

    def sets(self) -> dict[str, LabelledSet]:
        return {"forget": self.forget, "retain": self.retain, "validation": self.validation}

    def whole_classes(self) -> Tensor:
        """Classes (K,) of which the forget set holds every training sample, ascending."""
        forgotten = torch.bincount(self.forget.labels, minlength=self.num_classes)
        retained = torch.bincount(self.retain.labels, minlength=self.num_classes)
        return torch.nonzero((forgotten > 0) & (retained == 0)).flatten()

    def forgets_whole_classes(self) -> bool:
        """True if every class in the forget set is forgotten entirely."""
        return bool(torch.isin(self.forget.labels, self.whole_classes()).all())


def _require_distinct(rows: Tensor) -> None:
    repeated = len(rows) - len(torch.unique(rows))
    if repeated:
        raise RepeatedRows(repeated, len(rows))


def split_unseen(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Halve one held-out split, class by class: row indices (n_val,), (n_test,), ascending.

    For datasets that have a single held-out split. The same labels and seed give the same halves;
    classes with an odd number of samples give their extra one to either half in turn.
    """
    generator = torch.Generator().manual_seed(seed)
    validation, test = [], []
    extra_to_validation = True
    for label in sorted(set(labels.tolist())):
        rows = torch.nonzero(labels == label).flatten().cpu()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        half = len(rows) // 2
        if len(rows) % 2:
            half += int(extra_to_validation)
            extra_to_validation = not extra_to_validation
        validation.append(rows[:half])
        test.append(rows[half:])
    empty = torch.empty(0, dtype=torch.int64)
    return torch.cat([empty, *validation]).sort().values, torch.cat([empty, *test]).sort().values
