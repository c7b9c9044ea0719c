"""What a method reports after every epoch, and how it is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import Tensor

from workers.unlearning import calibration
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.errors import ShapeMismatch
from workers.unlearning.evaluation import predict
from workers.unlearning.original import check_original
from workers.unlearning.reader import Served
from workers.unlearning.steering import Signal, members, validation_signal
from workers.unlearning.training import Training


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Accuracies and validation figures are measured after the epoch, in eval mode.

    number           1 for the first
    steps            optimizer steps of the run so far
    planned_epochs   at most this many; a guided run may end sooner
    loss             mean over the samples of the epoch; None where nothing is minimised
    temperature      LoTUS: used during the epoch, set before it
    forget_accuracy  plain accuracy on D_f; target_accuracy is its goal; accuracy_gap the difference
    validation_auc   class-conditional attack AUC, D_f against D_u,val; None where it is not read
    validation_band  cross-fitted band advantage on the same sets; None where it is not read
    validation_member_excess   share of D_f that the paper's attack calls member, less that of
                     D_u,val; with the AUC it chooses the epoch in guided mode; None elsewhere
    best             best so far: the last epoch with this flag is the one whose weights are kept
    seconds          wall time, measurements included
    served           exact retraining: which training rows were read so far
    uncalibrated_samples   of D_f, whose class D_u,val lacks: the goal says nothing about them
    """

    number: int
    steps: int
    planned_epochs: int
    loss: float | None
    temperature: float | None = None
    forget_accuracy: float
    target_accuracy: float
    accuracy_gap: float
    validation_auc: float | None = None
    validation_band: float | None = None
    validation_member_excess: float | None = None
    best: bool = True
    seconds: float
    served: Served | None = None
    uncalibrated_samples: int = 0


class Meter:
    """Measures the model of `training` on D_f after every epoch."""

    def __init__(
        self,
        training: Training,
        data: UnlearningData,
        planned_epochs: int,
        *,
        class_matched: bool = True,
    ) -> None:
        """Made before the first step: the goal is the accuracy of the model as it is, on D_u,val.

        Raises ShapeMismatch if the model's answers are not about the data's classes, and
        NotTheOriginal if kept answers are not this model's.
        """
        self.training, self.data, self.planned_epochs = training, data, planned_epochs
        check_original(training.model.eval(), data, training.execution)
        unseen = data.original.validation.cpu() if data.original else self.answers(data.validation)
        self._uncalibrated = calibration.uncalibrated(data.forget.labels, data.validation.labels)
        if unseen.shape[1] != data.num_classes:
            raise ShapeMismatch("logits and classes", unseen.shape[1:], (data.num_classes,))
        self.target = calibration.target_accuracy(
            unseen,
            data.validation.labels.cpu(),
            data.forget.labels.cpu(),
            data.whole_classes().cpu(),
            class_matched=class_matched,
        )
        self._started = time.perf_counter()

    def answers(self, samples: LabelledSet) -> Tensor:
        """(N, C) float32 logits of the model in eval mode."""
        execution = self.training.execution
        with execution.settings():
            return predict(
                self.training.model.eval(),
                samples.inputs,
                view=self.data.view,
                bfloat16=execution.bfloat16,
            )

    def signal(self, forget_logits: Tensor) -> Signal:
        """What an attacker who holds D_u,val sees; forget_logits (n_f, C) of the same weights."""
        unseen, trained = (self.answers(s) for s in (self.data.validation, members(self.data)))
        return validation_signal(forget_logits, unseen, trained, self.data)

    def epoch(
        self,
        number: int,
        *,
        loss: float | None,
        forget_logits: Tensor | None = None,
        temperature: float | None = None,
        signal: Signal | None = None,
        best: bool = True,
        served: Served | None = None,
    ) -> Epoch:
        """Its seconds run from the end of the epoch before."""
        if forget_logits is None:
            forget_logits = self.answers(self.data.forget)
        accuracy = calibration.accuracy(forget_logits, self.data.forget.labels.cpu())
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        return Epoch(
            number=number,
            steps=self.training.steps,
            planned_epochs=self.planned_epochs,
            loss=loss,
            temperature=temperature,
            forget_accuracy=accuracy,
            target_accuracy=self.target,
            accuracy_gap=accuracy - self.target,
            validation_auc=signal.auc if signal else None,
            validation_band=signal.band if signal else None,
            validation_member_excess=signal.member_excess if signal else None,
            best=best,
            seconds=seconds,
            served=served,
            uncalibrated_samples=self._uncalibrated,
        )
