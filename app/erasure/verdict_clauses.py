"""The clauses of the verdict rule, each a question to one verification report. Pure."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from app.registry.verification_policy import VerificationPolicy

SCORES = ("phi", "margin", "neg_entropy")
# Three AUCs and Kuiper's statistic share the level alpha.
CORRECTED_TESTS = 4
# Expected in 30 days, over all runs.
FALSE_ALARMS = 0.5
# One-sided 95 %: how far a signal must have grown to have grown by more than chance.
GROWTH_Z = 1.645
ATTACKS = {
    "phi": "the loss attack",
    "margin": "the margin attack",
    "neg_entropy": "the entropy attack",
    "kuiper": "the distribution test",
    "band": "the band attack",
    "learned_attack": "the learned attack",
    "stability_attack": "the stability attack",
}

# They steer nothing in any mode, and have no margin.
UNREAD = ("learned_attack", "stability_attack")


class Case:
    """One report under one policy at one rung: each method answers one clause of the rule."""

    def __init__(
        self, report: Mapping[str, Any], policy: VerificationPolicy, rung: int, runs: int
    ) -> None:
        self.report = report
        self.policy = policy
        self.rung = rung
        # What it takes to call a result distinguishable: less and less as runs and retries add up,
        # since each is one more chance of a false alarm.
        self.level: float = min(policy.alpha, FALSE_ALARMS / runs) / 2**rung
        self.corrected: float = self.level / CORRECTED_TESTS
        # What it takes to stand in the way of "within the margin": never less, or trying often
        # would open that way. B random draws cannot give a p-value below 1 / (B + 1).
        self.hindering_level = max(policy.alpha, 1.0 / (int(report["permutations"]) + 1))
        self.n_f = int(report["sizes"]["n_f"])
        self.excluded = int(report["sizes"]["excluded"])
        # Tests that treat samples as independent find every person who differs from others. Where
        # such differences are allowed for, they show nothing about the model.
        self.between_persons = report["person_null"] is not None

    def auc(self, score: str, when: str = "after") -> float:
        return float(self.report["scores"][score][when]["auc"])

    def deviation(self, score: str, when: str = "after") -> float:
        return abs(self.auc(score, when) - 0.5)

    def interval(self, score: str) -> tuple[float, float]:
        by_rung = self.report["scores"][score]["after"]["interval_by_rung"]
        low, high = by_rung[min(self.rung, len(by_rung) - 1)]
        return float(low), float(high)

    def band(self) -> tuple[float, float] | None:
        """Advantage and its upper bound at this rung's level."""
        figures = self.report["band"]
        if figures is None:
            return None
        advantage = float(figures["after"]["advantage"])
        z = NormalDist().inv_cdf(1 - self.policy.band_alpha / 2**self.rung)
        return advantage, advantage + z * float(figures["after"]["se"])

    def p_values(self) -> dict[str, float]:
        """Of the tests that share the corrected level."""
        figures = {score: self.report["scores"][score]["after"] for score in SCORES}
        found = {score: float(after["p_two_sided"]) for score, after in figures.items()}
        if not self.between_persons:
            found["kuiper"] = float(self.report["kuiper"]["after"]["p_value"])
        return found

    def corrected_level(self, name: str) -> float:
        if name != "kuiper":
            return self.corrected
        draws = self.report["kuiper"]["after"].get("draws")  # None: not by draws, so no floor
        return max(self.corrected, 1.0 / (draws + 1)) if draws else self.corrected

    def significant(self) -> dict[str, float]:
        return {n: p for n, p in self.p_values().items() if p <= self.corrected_level(n)}

    def unread(self) -> dict[str, float]:
        """p-values of the attacks that steer nothing, where they could be run."""
        found = {}
        for name in UNREAD:
            figures = self.report[name]
            if figures is not None and figures["after"]["p_value"] is not None:
                found[name] = float(figures["after"]["p_value"])
        return found

    def tells_apart(self) -> list[str]:
        if self.report["scores"] is None:
            return []
        names = list(self.significant())
        if self.between_persons:
            return names
        band = self.report["band"]
        if band is not None and band["after"]["p_value"] <= self.hindering_level:
            names.append("band")
        return [*names, *(name for name, p in self.unread().items() if p <= self.hindering_level)]

    def no_valid_reference(self) -> tuple[str, list[str]] | None:
        excluded = self.excluded
        share = excluded / (self.n_f + excluded)
        compared = "only before and after are compared."
        if share > self.policy.max_excluded_share or self.report["scores"] is None:
            sentence = (
                f"{excluded} of these {self.n_f + excluded} samples are of classes without unseen "
                f"samples; {compared}"
            )
            reason = (
                f"share without unseen samples {share:.3f}, "
                f"allowed {self.policy.max_excluded_share:.3f}"
            )
            return sentence, [reason]
        check = self.report["reference"]
        if check is None or check["auc"] is None or self.report["person_null"] is not None:
            return None
        auc, p = float(check["auc"]), float(check["p_value"])
        if auc < self.policy.reference_auc or p > self.policy.reference_p:
            return None
        sentence = f"These samples differ from the unseen set by their inputs; {compared}"
        reason = (
            f"inputs alone tell the samples apart: AUC {auc:.3f}, limit "
            f"{self.policy.reference_auc:.3f}; p {p:.4f}, limit {self.policy.reference_p:.4f}"
        )
        return sentence, [reason]

    def outside_the_margin(self) -> list[str]:
        """What stands against "within the margin", in words; empty if nothing does."""
        found = []
        percent = 100 * (1 - 0.1 / 2 ** min(self.rung, 4))
        for score in SCORES:
            low, high = self.interval(score)
            if max(0.5 - low, high - 0.5) > self.policy.delta_auc:
                found.append(
                    f"the {percent:g} % interval [{low:.3f}, {high:.3f}] of "
                    f"{ATTACKS[score]}'s AUC crosses the margin {self.policy.delta_auc:.2f}"
                )
        band = self.band()
        if band is None or self.n_f < self.policy.min_band_n:
            found.append(f"the band attack needs {self.policy.min_band_n} samples, not {self.n_f}")
        elif band[1] > self.policy.delta_band:
            found.append(
                f"the upper bound {band[1]:.3f} of the band advantage is above "
                f"{self.policy.delta_band:.2f}"
            )
        for name, p in self.unread().items():
            if p <= self.hindering_level:
                tells = "still tells the samples from unseen ones"
                if self.between_persons:
                    tells = "tells the samples from unseen ones, perhaps by the person alone"
                found.append(
                    f"{ATTACKS[name]} {tells} (p {p:.4f}, level {self.hindering_level:.4f})"
                )
        return found

    def inside_the_margin(self) -> list[str]:
        band = self.band()
        bounds = [
            f"{ATTACKS[score]}: AUC interval [{low:.3f}, {high:.3f}], "
            f"margin {self.policy.delta_auc:.2f}"
            for score in SCORES
            for low, high in [self.interval(score)]
        ]
        if band is not None:
            bounds.append(
                f"band advantage at most {band[1]:.3f}, margin {self.policy.delta_band:.2f}"
            )
        found = self.unread()
        for name in UNREAD:
            said = "could not be run"
            if name in found:
                said = f"p {found[name]:.4f}, above the level {self.hindering_level:.4f}"
            bounds.append(f"{ATTACKS[name]}: {said}")
        return bounds

    def significant_deviation(self) -> list[str]:
        """Some corrected test is significant and some figure lies outside its margin."""
        significant = self.significant()
        band = self.wide_band()
        far = [score for score in SCORES if self.deviation(score) > self.policy.delta_auc]
        beyond = [
            f"{ATTACKS[score]}: AUC {self.auc(score):.3f}, more than "
            f"{self.policy.delta_auc:.2f} from .5"
            for score in far
        ]
        if band is not None:
            beyond.append(f"band advantage {band[1]:.3f} above {self.policy.delta_band:.2f}")
        if not significant or not beyond:
            return []
        return [
            *(
                f"{ATTACKS[name]}: p {p:.2g}, level {self.corrected_level(name):.2g}"
                for name, p in significant.items()
            ),
            *beyond,
        ]

    def wide_band(self) -> tuple[float, float] | None:
        """Advantage before and after, where the band counts and is still above its margin."""
        band = None if self.between_persons else self.band()
        if band is None or band[0] <= self.policy.delta_band:
            return None
        return float(self.report["band"]["before"]["advantage"]), band[0]

    def leading_score(self) -> str:
        """The score whose AUC decides: the worst significant one outside the margin, else phi."""
        significant = self.significant()
        outside = [
            score
            for score in SCORES
            if score in significant and self.deviation(score) > self.policy.delta_auc
        ]
        return max(outside, key=self.deviation, default="phi")

    def utility(self) -> tuple[bool, str]:
        figures = self.report["utility"]
        if figures is None:
            return False, "accuracy on unseen data could not be compared"
        fall, limit = float(figures["fall"]), self.policy.max_accuracy_fall
        words = (
            f"accuracy on unseen data fell by {100 * fall:.2f} points "
            f"[{100 * figures['low']:.2f}, {100 * figures['high']:.2f}], "
            f"allowed {100 * limit:.2f}"
        )
        # Falls are multiples of 1/n: rounding must not decide at the limit itself.
        return fall <= limit + 1e-9, words

    def signal_grew(self) -> tuple[bool, str]:
        if self.report["scores"] is None:
            return True, "no attack could be run, so a growth of the signal cannot be excluded"
        was, now = self.deviation("phi", "before"), self.deviation("phi")
        error = GROWTH_Z * float(self.report["scores"]["phi"]["change"].get("se", 0.0))
        words = (
            f"distance of the AUC from .5: {was:.3f} before, {now:.3f} after; "
            f"chance explains a growth of {error:.3f}"
        )
        return now > was + error, words
