"""What a certificate states of one model: every run that led to the published version, with its
figures, and this request's part in it.

Probabilities and accuracies lie in [0, 1]; divergences are in nats; n_f and n_u count the forget
and unseen samples that were compared.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.canonical import Code, Count, Instant, Sha256
from app.certificates.commitment import Commitment
from app.certificates.sentences import Figures, Sentence
from app.ids import ModelId, RunId, VersionId

CodeVersion = Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,64}$")]
DeviceName = Annotated[str, Field(pattern=r"^[0-9A-Za-z .,:()/_@+-]{1,100}$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VersionDigest(Part):
    version: VersionId
    number: Annotated[int, Field(ge=1)]
    sha256: Sha256


class FirstPage(Part):
    """The five figures to look at first. None where a figure could not be computed."""

    # 1. how much can be said at all
    n_f: Count
    n_u: Count
    provable_margin: float | None
    # 2. class-conditional AUC, its 90 % interval after, and the margin around .5 that it proves
    auc_before: float | None
    auc_after: float | None
    auc_low: float | None
    auc_high: float | None
    margin_proved: float | None
    # 3. band advantage and its upper 95 % bound
    band_before: float | None
    band_after: float | None
    band_upper: float | None
    # 4. RF-JSD, and the p-value of the same-model test
    rf_jsd_before: float | None
    rf_jsd_after: float | None
    same_model_p: float | None
    # 5. accuracy on unseen data, and the paired change with its 95 % interval
    accuracy_before: float | None
    accuracy_after: float | None
    accuracy_change: float | None
    accuracy_change_low: float | None
    accuracy_change_high: float | None


class Attempt(Part):
    """One run of the ladder, whatever became of it."""

    run: RunId
    follows: RunId | None
    # How many rejected runs came before it, and why it was made as it was.
    rung: Count
    step: Code
    state: Code
    method: Code
    mode: Code
    config: Figures
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    code_version: CodeVersion
    device: DeviceName | None
    started: Instant | None
    finished: Instant | None
    verdict: Code | None
    first_page: FirstPage | None


class OwnPart(Part):
    """This request's samples within the run's forget set, and its own figures."""

    commitment: Commitment
    held_out_count: Count
    figures: Figures | None


class ModelErasure(Part):
    """One model. `report` is the deciding run's; `attempts` ends with that run."""

    model: ModelId
    name: Name
    base: VersionDigest
    published: VersionDigest
    forget_set: Commitment
    own: OwnPart
    attempts: Annotated[tuple[Attempt, ...], Field(min_length=1)]
    verdict: Code
    verdict_sentence: Sentence
    report: Figures
    policy: Figures
    # How many recipients had pulled a version that was trained on this person's samples; None where
    # not all of their pulls were recorded.
    recipient_count: Count | None

    @model_validator(mode="after")
    def _is_about_one_person(self) -> Self:
        if "persons" in self.report:
            raise ValueError("the report holds the figures of other persons")
        if self.own.commitment.count > self.forget_set.count:
            raise ValueError("a part cannot be larger than the forget set")
        if self.own.commitment.salt != self.forget_set.salt:
            raise ValueError("a part must be committed to with the salt of the forget set")
        return self
