"""Named refusals of the library: never a wrong number where no right one exists.

Every message carries shapes and counts, never a sample, a label of a person or a path.
"""

from collections.abc import Sequence


class UnlearningError(ValueError):
    """Base of everything that this library refuses to compute."""


class EmptyForgetSet(UnlearningError):
    def __init__(self, where: str = "this run") -> None:
        super().__init__(f"{where} has a forget set of 0 samples")


class EmptySet(UnlearningError):
    """A set that must hold samples (retain, unseen, test) holds none."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the {name} set has 0 samples")


class NotInEvalMode(UnlearningError):
    """Evaluation in train mode would overwrite BatchNorm's running statistics."""

    def __init__(self, training_modules: Sequence[str]) -> None:
        shown = ", ".join(name or "(root)" for name in training_modules[:3])
        super().__init__(f"{len(training_modules)} modules are in train mode: {shown}")


class NonFiniteLogits(UnlearningError):
    def __init__(self, rows: int, total: int, where: str = "logits") -> None:
        super().__init__(f"{where}: {rows} of {total} rows hold NaN or infinity")


class NonFiniteLoss(UnlearningError):
    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(f"loss {loss} in epoch {epoch}, step {step}")


class NonFiniteGradient(UnlearningError):
    """The loss is finite and its gradient is not: nothing can be read off such a gradient."""

    def __init__(self, values: int, total: int) -> None:
        super().__init__(f"{values} of {total} gradient values are NaN or infinite")


class NothingToTrain(UnlearningError):
    def __init__(self, frozen: int) -> None:
        super().__init__(f"no parameter may move: {frozen} are frozen")


class TooFewRows(UnlearningError):
    """BatchNorm in train mode has no variance of a single row."""

    def __init__(self, rows: int, needed: int) -> None:
        super().__init__(f"a batch of {rows} rows, where BatchNorm needs {needed}")


class ForgetSetTooLarge(UnlearningError):
    def __init__(self, forget: int, training: int) -> None:
        super().__init__(f"{forget} of {training} training samples to forget: none would be left")


class LabelOutOfRange(UnlearningError):
    def __init__(self, count: int, total: int, num_classes: int, where: str = "") -> None:
        of = f" of the {where} set" if where else ""
        super().__init__(f"{count} of {total} labels{of} lie outside 0..{num_classes - 1}")


class ShapeMismatch(UnlearningError):
    def __init__(self, what: str, left: Sequence[int], right: Sequence[int]) -> None:
        super().__init__(f"{what}: shapes {tuple(left)} and {tuple(right)} do not fit")


class MissingUnseenClass(UnlearningError):
    """Forget classes that have no unseen sample to be compared with."""

    def __init__(self, classes: Sequence[int], samples: int) -> None:
        self.classes = tuple(classes)
        super().__init__(
            f"{len(self.classes)} forget classes ({samples} samples) have no unseen sample: "
            f"{list(self.classes[:10])}"
        )


class TooFewClasses(UnlearningError):
    def __init__(self, num_classes: int) -> None:
        super().__init__(f"{num_classes} classes: at least 2 are needed")


class NotAProbability(UnlearningError):
    def __init__(self, rows: int, total: int) -> None:
        super().__init__(f"{rows} of {total} rows are not probability distributions")
