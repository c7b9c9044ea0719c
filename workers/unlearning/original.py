"""f_orig's answers, asked once for several runs on the same model.

Training on inputs that never change asks the teacher about the same rows in every run: other
settings after a rejection, other seeds, other forget sets. N samples, C classes.
"""

from __future__ import annotations

from torch import nn

from workers.unlearning.data import OriginalAnswers, UnlearningData
from workers.unlearning.errors import UnlearningError
from workers.unlearning.evaluation import predict
from workers.unlearning.execution import Execution
from workers.unlearning.settings import MethodConfig

_ROWS_COMPARED = 8


class NotTheOriginal(UnlearningError):
    """Kept answers are of another model, other rows or another view: a teacher that never was."""

    def __init__(self, rows: int, compared: int) -> None:
        super().__init__(
            f"kept answers about {rows} of {compared} validation rows are not this model's"
        )


def original_answers(
    model: nn.Module, data: UnlearningData, config: MethodConfig
) -> OriginalAnswers:
    """Of `model` as it is, with the arithmetic that `config` trains with. Raises NotInEvalMode,
    NonFiniteLogits."""
    execution = Execution.of(config, model)
    with execution.settings():
        return OriginalAnswers(
            **{
                name: predict(model, rows.inputs, view=data.view, bfloat16=execution.bfloat16)
                for name, rows in data.sets().items()
            }
        )


def check_original(model: nn.Module, data: UnlearningData, execution: Execution) -> None:
    """A few rows tell another model's answers from this one's. Raises NotTheOriginal."""
    if data.original is None:
        return
    rows = data.validation.inputs[:_ROWS_COMPARED]
    with execution.settings():
        asked = predict(model, rows, view=data.view, bfloat16=execution.bfloat16)
    kept = data.original.validation[: len(asked)].cpu()
    # Batches of other sizes round otherwise, in bfloat16 visibly.
    tolerance = 0.05 if execution.bfloat16 else 1e-3
    scale = asked.abs().amax(dim=1, keepdim=True).clamp(min=1.0)
    other = int(((asked - kept).abs() > tolerance * scale).any(dim=1).sum())
    if other:
        raise NotTheOriginal(other, len(asked))
