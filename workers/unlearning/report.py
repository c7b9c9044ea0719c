"""What verification found, as plain data. `Report.to_dict` is the stable JSON form.

Figures that could not be computed are None, and `reasons` says why under the figure's name.
Shares and AUCs lie in [0, 1]; divergences are in nats; z and p-values are dimensionless.
Rung r of the ladder of retries tests at levels halved r times, so bounds come once per rung.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

from workers.unlearning.reference import ReferenceCheck

RUNGS = 5
Interval = tuple[float, float]


@dataclass(frozen=True)
class Sizes:
    n_f: int  # forget samples compared
    n_u: int  # unseen test samples of the forget set's classes
    n_test: int  # all unseen test samples
    n_val: int
    n_retain: int  # size of the retain sample
    n_eff: float | None  # what n_u is worth at the forget set's histogram
    excluded: int  # forget samples of classes without unseen samples
    excluded_classes: list[int]
    delta_plan: float | None  # margin around .5 that these sizes and persons can prove


@dataclass(frozen=True)
class SameModel:
    """RF-JSD with one model on both sides, tested by permutation within class."""

    value: float
    p_up: float
    p_low: float
    p_two_sided: float
    permutations: int
    worst_class: int
    worst_class_p: float


@dataclass(frozen=True)
class RfJsdFigures:
    value: float  # the paper's: unlearned model on forget against original model on unseen
    released_scale: float  # the same on the scale of published tables
    before: float  # original model on both
    before_released_scale: float
    drift: float | None  # how far the whole model moved: validation against test
    per_class: dict[str, float]
    paper_value_valid: bool  # False when a whole class is forgotten
    same_before: SameModel
    same_after: SameModel
    too_regular: bool  # closer to the unseen samples than chance allows
    saw_before: bool  # the test could tell the samples apart in the original model


@dataclass(frozen=True)
class AucFigures:
    auc: float
    se: float
    interval_90: Interval
    interval_by_rung: list[Interval]
    p_two_sided: float  # against .5
    margin_proved: float  # largest distance of the 90 % interval's ends from .5


@dataclass(frozen=True)
class PairedChange:
    difference: float  # mean of V after minus before, over the same samples
    se: float
    z: float
    interval_99: Interval


@dataclass(frozen=True)
class ScoreFigures:
    before: AucFigures
    after: AucFigures
    change: PairedChange


@dataclass(frozen=True)
class Statistic:
    statistic: float
    p_value: float
    draws: int  # the p-value is at least 1 / (draws + 1)


@dataclass(frozen=True)
class BandFigures:
    advantage: float
    true_positive_rate: float
    false_positive_rate: float
    se: float
    upper_95: float
    upper_by_rung: list[float]
    p_value: float


@dataclass(frozen=True)
class LearnedAttack:
    auc: float
    p_value: float | None


@dataclass(frozen=True)
class Accuracy:
    value: float
    low: float  # Wilson, 95 %
    high: float
    n: int


@dataclass(frozen=True)
class Utility:
    """Paired fall of accuracy on the test set; classes forgotten as a whole are left out."""

    fall: float  # before minus after
    low: float  # 95 %
    high: float
    n: int
    left_out: int


@dataclass(frozen=True)
class PaperAttack:
    member_fraction: float
    auc: float


@dataclass(frozen=True)
class PersonFigures:
    person: int
    n: int
    excluded: int
    mean_before: float | None
    mean_after: float | None
    range_low: float | None  # of 95 % of never-trained persons with that many samples
    range_high: float | None
    q: float | None  # Benjamini-Hochberg within the run
    flagged: bool


@dataclass(frozen=True)
class PersonNull:
    """Spread between never-trained persons of their mean percentile, per score."""

    persons: int
    variance_before: dict[str, float]
    variance_after: dict[str, float]


Figure = TypeVar("Figure")


@dataclass(frozen=True)
class BeforeAfter(Generic[Figure]):
    before: Figure
    after: Figure


@dataclass(frozen=True)
class SetHistogram:
    size: int
    counts: list[int]
    shares: list[float]  # sum 1; of unseen samples at the forget set's mix of classes


@dataclass(frozen=True)
class EntropyPlot:
    """Entropy of the softmax over the samples compared. `unseen`: the original model's answers,
    `unseen_after` the new one's, each what the figures of its side compare with."""

    edges: list[float]  # nats, from 0 to ln C; one more than bins
    forget_before: SetHistogram
    forget_after: SetHistogram
    unseen: SetHistogram
    unseen_after: SetHistogram


@dataclass(frozen=True)
class RocCurve:
    """`auc` is the figure of the report: the area under the curve before points were left out."""

    auc: float
    false_positive_rate: list[float]
    true_positive_rate: list[float]


@dataclass(frozen=True)
class NullPlot:
    """A same-model RF-JSD and the permuted values that its p-value counts, in nats."""

    value: float
    p_up: float
    permutations: int
    edges: list[float]  # from the smallest permuted value to the largest
    counts: list[int]


@dataclass(frozen=True)
class Plots:
    """What can be drawn beside the figures. Kept apart from them: it tells more of single samples.

    None where nothing can be compared; `reasons` says why under the plot's name.
    """

    entropy: EntropyPlot | None
    roc: dict[str, BeforeAfter[RocCurve]] | None  # by score
    rf_jsd: BeforeAfter[NullPlot] | None
    reasons: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


@dataclass(frozen=True)
class Report:
    sizes: Sizes
    rf_jsd: RfJsdFigures | None
    scores: dict[str, ScoreFigures] | None
    kuiper: BeforeAfter[Statistic] | None
    band: BeforeAfter[BandFigures] | None
    learned_attack: BeforeAfter[LearnedAttack] | None
    stability_attack: BeforeAfter[BandFigures] | None
    reference: ReferenceCheck | None
    person_null: PersonNull | None
    accuracy: dict[str, BeforeAfter[Accuracy]]
    utility: Utility | None
    membership_inference: BeforeAfter[PaperAttack]
    persons: list[PersonFigures]
    plots: Plots
    seed: int
    permutations: int
    reasons: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The figures, without the plots. JSON types only: tuples become lists, and no NaN or
        infinity is left."""
        plain: dict[str, Any] = _plain(asdict(self))
        del plain["plots"]
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
