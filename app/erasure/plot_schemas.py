"""The wire form of what can be drawn of a run. What a page must know to draw it stands here; what
it means in docs/reading-a-report.md."""

from typing import Annotated

from pydantic import BaseModel, Field

Rates = Annotated[list[float], Field(description="Rising from 0 to 1.")]


class SetHistogram(BaseModel):
    size: Annotated[int, Field(description="Samples of the set.")]
    counts: Annotated[list[int], Field(description="Samples in each bin.")]
    shares: Annotated[
        list[float],
        Field(
            description="The bars to draw, of sum 1: the share of the set in each bin, unseen "
            "samples weighted to the forget set's mix of classes."
        ),
    ]


class EntropyPlot(BaseModel):
    """How unsure the models' answers are, sample by sample. Forget samples without an unseen one of
    their class are left out, and unseen ones of other classes."""

    edges: Annotated[
        list[float],
        Field(
            description="Ends of the bins in nats, common to all four sets, from 0 to the "
            "logarithm of the number of classes; one more than bins."
        ),
    ]
    forget_before: Annotated[SetHistogram, Field(description="Forget samples, model before.")]
    forget_after: Annotated[SetHistogram, Field(description="Forget samples, new model.")]
    unseen: Annotated[
        SetHistogram, Field(description="Unseen test samples, model before: the method's goal.")
    ]
    unseen_after: Annotated[
        SetHistogram,
        Field(description="Unseen test samples, new model: what the figures after compare with."),
    ]


class RocCurve(BaseModel):
    """The attacker calls those forget samples that score above a threshold, one for each class, at
    the same false positive rate in every class."""

    auc: Annotated[
        float,
        Field(
            description="The AUC of the report: the area under the whole curve, from 0 to 1. Under "
            "the points given here it may differ by some thousandths."
        ),
    ]
    false_positive_rate: Annotated[
        Rates,
        Field(description="Share of unseen samples called, from 0 to 1; at most 200 points."),
    ]
    true_positive_rate: Annotated[
        Rates, Field(description="Share of forget samples called at the same point.")
    ]


class RocPair(BaseModel):
    before: RocCurve
    after: RocCurve


class RocPlots(BaseModel):
    """One curve for each score whose AUC the verdict uses."""

    phi: Annotated[
        RocPair, Field(description="The loss attack: the label's logit against all others.")
    ]
    margin: Annotated[
        RocPair, Field(description="The margin attack: the label's logit against the best other.")
    ]
    neg_entropy: Annotated[
        RocPair, Field(description="The entropy attack, which does not read the label.")
    ]


class NullPlot(BaseModel):
    value: Annotated[
        float,
        Field(
            description="Same-model RF-JSD in nats, this model's answers on forget against unseen "
            "samples. It may lie outside the bins."
        ),
    ]
    p_up: Annotated[
        float, Field(description="(1 + permuted values at least as large) / (1 + permutations).")
    ]
    permutations: Annotated[int, Field(description="Permuted values: the sum of `counts`.")]
    edges: Annotated[
        list[float],
        Field(
            description="Ends of the bins in nats, from the smallest permuted value to the largest."
        ),
    ]
    counts: Annotated[list[int], Field(description="Permuted values in each bin.")]


class NullPair(BaseModel):
    before: NullPlot
    after: NullPlot


class RunPlots(BaseModel):
    """Each plot is empty where it cannot be computed; `reasons` says why under its name."""

    entropy: EntropyPlot | None
    roc: RocPlots | None
    rf_jsd: Annotated[
        NullPair | None,
        Field(
            description="RF-JSD of the model before and of the new one, and its values if forget "
            "and unseen samples are permuted within each class."
        ),
    ]
    reasons: dict[str, str]
