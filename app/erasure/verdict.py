"""From a verification report and a policy to a verdict, and whether to publish. Pure.

The verdict says what the tests showed. Publishing is another question: its alternative is to go on
serving the model that still knows the samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from app.erasure.verdict_clauses import ATTACKS, Case
from app.registry.verification_policy import VerificationPolicy

__all__ = ["Verdict", "VerdictName", "VerificationPolicy", "judge"]

PAIRED_Z = 1.96
REQUIRED_SHRINKAGE = 0.5
# Of a band advantage that is still above its margin: unlearning that only moves samples from the
# top to elsewhere brings the AUC to .5 and leaves the band where it was.
REQUIRED_BAND_SHRINKAGE = 0.75


class VerdictName(StrEnum):
    WITHIN_MARGIN = "within_margin"
    REDUCED = "reduced"
    NOT_SHOWN = "not_shown"
    DISTINGUISHABLE = "distinguishable"
    OVER_UNLEARNED = "over_unlearned"
    INSUFFICIENT_DATA = "insufficient_data"
    NO_VALID_REFERENCE = "no_valid_reference"


Outcome = Literal["unlearned", "unlearned_not_testable"]
_PROVED = (
    "The network was trained anew, and the reader that served its training counted each row: none "
    "of these {} was handed out. What tests say of the result decides nothing here: {}"
)
_TESTED = {VerdictName.WITHIN_MARGIN, VerdictName.REDUCED, VerdictName.NOT_SHOWN}
_UNTESTED = {VerdictName.INSUFFICIENT_DATA, VerdictName.NO_VALID_REFERENCE}


@dataclass(frozen=True)
class Verdict:
    name: VerdictName
    sentence: str  # for the first page of a certificate
    reasons: list[str]  # every clause that decided, with figure and threshold
    tells_apart: list[str]  # keys of ATTACKS that still tell the samples from unseen ones
    utility_held: bool
    publish: bool
    outcome: Outcome | None  # None if nothing is published


def judge(
    report: Mapping[str, Any],
    policy: VerificationPolicy,
    *,
    rung: int = 0,
    runs: int = 1,
    exact: bool = False,
) -> Verdict:
    """The ordered rule. `report` is `Report.to_dict()`.

    rung   how many retries came before: every level of a finding is halved for each
    runs   of the last 30 days, this one included: all of them share half an expected false alarm
    exact  retrained without the samples, and the reader's count shows that training was handed none
           of them: published whatever the tests say. Where that proof fails there is no verdict
    """
    if rung < 0:
        raise ValueError("rung must not be negative")
    if runs < 1:
        raise ValueError("the run that asks is a run")
    case = Case(report, policy, rung, runs)
    tells_apart = case.tells_apart()
    name, sentence, reasons = _decide(case, tells_apart)
    utility_held, about_utility = case.utility()
    publish, about_publishing = _publishes(case, name, utility_held, exact)
    outcome: Outcome | None = None
    if publish:
        outcome = "unlearned_not_testable" if name in _UNTESTED and not exact else "unlearned"
    if exact:
        sentence = _PROVED.format(_counted(case.n_f + case.excluded), sentence)
    reasons = [*reasons, about_utility, *about_publishing]
    return Verdict(name, sentence, reasons, tells_apart, utility_held, publish, outcome)


def _decide(case: Case, tells_apart: list[str]) -> tuple[VerdictName, str, list[str]]:
    no_reference = case.no_valid_reference()
    if no_reference:
        return VerdictName.NO_VALID_REFERENCE, *no_reference
    outside = case.outside_the_margin()
    if not outside:
        sentence = (
            f"No attack tried told these {_counted(case.n_f)} from unseen ones by more than "
            f"the margins: {case.policy.delta_auc:.2f} for deviations of the attack AUC from 0.5, "
            f"{case.policy.delta_band:.2f} for the band advantage."
        )
        return VerdictName.WITHIN_MARGIN, sentence, case.inside_the_margin()
    deviating = case.significant_deviation()
    if deviating:
        return _direction(case, tells_apart, deviating)
    plan = float(case.report["sizes"]["delta_plan"])
    if plan > case.policy.delta_auc:
        shown = "Nothing is shown either way."
        if tells_apart:
            shown = f"{_capital(_still(tells_apart))} the samples from unseen ones."
        sentence = (
            f"{_counted(case.n_f)} can exclude only deviations of the attack AUC from 0.5 above "
            f"{plan:.2f}, where the margin is {case.policy.delta_auc:.2f}. {shown}"
        )
        reason = f"provable margin {plan:.3f} above the margin {case.policy.delta_auc:.3f}"
        return VerdictName.INSUFFICIENT_DATA, sentence, [reason, *outside]
    sentence = f"Enough samples, but {outside[0]}: the margins are not shown to hold."
    if tells_apart:
        sentence += f" {_capital(_still(tells_apart))} the samples from unseen ones."
    return VerdictName.NOT_SHOWN, sentence, outside


def _publishes(
    case: Case, name: VerdictName, utility_held: bool, exact: bool
) -> tuple[bool, list[str]]:
    if exact:
        return True, ["retrained without the samples: published on that proof"]
    if name in _TESTED:
        return utility_held, []
    if name in _UNTESTED:
        grew, reason = case.signal_grew()
        return utility_held and not grew, [reason]
    return False, []


def _direction(
    case: Case, tells_apart: list[str], deviating: list[str]
) -> tuple[VerdictName, str, list[str]]:
    score = case.leading_score()
    was, now = case.auc(score, "before"), case.auc(score)
    towards = -1.0 if was >= 0.5 else 1.0
    z = towards * float(case.report["scores"][score]["change"]["z"])
    halved = case.deviation(score) <= REQUIRED_SHRINKAGE * case.deviation(score, "before")
    band = case.wide_band()
    band_fell = band is None or band[1] <= REQUIRED_BAND_SHRINKAGE * band[0]
    fell = z > PAIRED_Z and halved and band_fell
    reasons = [
        *deviating,
        f"{ATTACKS[score]}: AUC {was:.3f} before, {now:.3f} after; "
        f"paired z {z:.2f}, needed {PAIRED_Z}; distance from .5 halved: "
        f"{'yes' if halved else 'no'}; band advantage within its margin or fallen to "
        f"{REQUIRED_BAND_SHRINKAGE:.0%}: {'yes' if band_fell else 'no'}",
    ]
    still = _still(tells_apart)
    if fell:
        sentence = (
            f"The signal of {ATTACKS[score]} fell from AUC {was:.2f} to {now:.2f}. "
            f"{_capital(still)} the samples from unseen ones."
        )
        return VerdictName.REDUCED, sentence, reasons
    name = VerdictName.OVER_UNLEARNED if now < 0.5 else VerdictName.DISTINGUISHABLE
    if band is not None and case.deviation(score) <= case.policy.delta_auc:
        sentence = (
            f"{_capital(still)} the samples from unseen ones: "
            f"band advantage {band[0]:.2f} before, {band[1]:.2f} after."
        )
    elif now < 0.5:
        sentence = (
            f"These samples now stand out as less familiar than unseen ones: "
            f"AUC {was:.2f} before, {now:.2f} after, 0.50 is the target."
        )
    else:
        sentence = (
            f"{_capital(still)} the samples from unseen ones: "
            f"AUC {was:.2f} before, {now:.2f} after."
        )
    return name, sentence, reasons


def _still(names: list[str]) -> str:
    """ "the loss attack and the band attack still tell" """
    words = [ATTACKS[name] for name in names]
    if len(words) == 1:
        return f"{words[0]} still tells"
    return f"{', '.join(words[:-1])} and {words[-1]} still tell"


def _counted(samples: int) -> str:
    return "1 sample" if samples == 1 else f"{samples} samples"


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
