"""What a method reports after every epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """Accuracies and validation figures are measured after the epoch, in eval mode.

    number           1 for the first
    steps            optimizer steps of the run so far
    planned_epochs   at most this many; a guided run may end sooner
    loss             mean over the samples of the epoch
    temperature      used during the epoch, set before it
    forget_accuracy  plain accuracy on D_f; target_accuracy is its goal; accuracy_gap the difference
    validation_auc   class-conditional attack AUC, D_f against D_u,val; None where it is not read
    validation_band  cross-fitted band advantage on the same sets; None where it is not read
    best             best so far: the last epoch with this flag is the one whose weights are kept
    seconds          wall time, measurements included
    """

    number: int
    steps: int
    planned_epochs: int
    loss: float
    temperature: float
    forget_accuracy: float
    target_accuracy: float
    accuracy_gap: float
    validation_auc: float | None
    validation_band: float | None
    best: bool
    seconds: float
