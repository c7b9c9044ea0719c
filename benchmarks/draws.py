"""One draw: which rows are forget, validation and test this time; its report and its verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from app.erasure.verdict import VerdictName, VerificationPolicy, judge
from benchmarks.persons import People
from benchmarks.planted import Case, Rows, World
from workers.unlearning.evaluation import Observation, SetObservation
from workers.unlearning.report import Report
from workers.unlearning.verification import reference_check, verify

UNSEEN = 1000  # validation rows, and as many test rows
PERMUTATIONS = 199  # (B + 1) alpha is whole, so that tests by draws have exactly their level
RETAIN = 200
UNSEEN_PERSONS = 18  # in validation, and as many others in test
POLICY = VerificationPolicy()


@dataclass(frozen=True)
class Outcome:
    case: str
    n_f: int
    verdict: str
    blocked_by_unread: bool  # within the margin, but for the learned or the stability attack
    covered: dict[str, bool]  # does the 90 % interval of this score's AUC hold .5
    p: dict[str, float]  # of the model after
    same_model: tuple[float, float]  # p_up, p_low
    band: float
    auc: float
    reference_fired: bool = False


def from_case(world: World, case: Case, n_f: int, rng: np.random.Generator) -> Outcome:
    """Forget rows out of F, unseen rows out of the pool."""
    forget = rng.choice(case.forget, n_f, replace=False)
    return _outcome(world, case, forget, world.pool, rng, case.name)


def from_unseen(world: World, case: Case, n_f: int, rng: np.random.Generator) -> Outcome:
    """Under gold F and the pool are alike: forget and unseen rows are drawn out of both.

    A whole class stays one class. Rows of the pool were never in the base model either, so its
    side says nothing here; only the model after is judged.
    """
    pool = np.concatenate([case.forget, world.pool])
    candidates = pool
    if case.name == "whole class":
        labels = case.after.labels
        candidates = pool[labels[pool] == labels[case.forget[0]]]
    forget = rng.choice(candidates, n_f, replace=False)
    return _outcome(world, case, forget, np.setdiff1d(pool, forget), rng, f"{case.name}, any rows")


def _outcome(
    world: World, case: Case, forget: Rows, pool: Rows, rng: np.random.Generator, name: str
) -> Outcome:
    unseen = rng.permutation(pool)
    if case.validation is None:
        validation, test = unseen[:UNSEEN], unseen[UNSEEN : 2 * UNSEEN]
    else:
        validation = case.validation
        test = np.setdiff1d(unseen, validation)
        test = rng.permutation(test)[:UNSEEN]
    sets = (forget, rng.permutation(case.retain)[:RETAIN], validation, test)
    report = verify(
        _observation(world.before, sets),
        _observation(case.after, sets),
        seed=int(rng.integers(2**31)),
        permutations=PERMUTATIONS,
    )
    return _judged(report, name, len(forget))


def from_people(
    people: People, name: str, asking: Rows, named: bool, n_f: int, rng: np.random.Generator
) -> Outcome:
    """One of the persons `asking` against strangers, with the reference check on inputs.

    Before and after are the same model: nothing can be called reduced.
    """
    person = rng.choice(asking)
    others = rng.permutation(people.strangers[people.strangers != person])
    rows = {p: rng.permutation(np.flatnonzero(people.person == p)) for p in (person, *others)}
    share = UNSEEN // UNSEEN_PERSONS
    forget = rows[person][:n_f]
    retain = np.flatnonzero(np.isin(people.person, people.known[people.known != person]))
    test = np.concatenate([rows[p][:share] for p in others[:UNSEEN_PERSONS]])
    validation = [rows[p][:share] for p in others[UNSEEN_PERSONS : 2 * UNSEEN_PERSONS]]
    sets = (forget, rng.permutation(retain)[:RETAIN], np.concatenate(validation), test)
    seen = _observation(people.model, sets)
    seed = int(rng.integers(2**31))
    of_forget, of_test = (people.samples.select(torch.from_numpy(s)) for s in (forget, test))
    check = reference_check(
        of_forget.inputs,
        of_forget.labels,
        of_test.inputs,
        of_test.labels,
        seed,
        permutations=PERMUTATIONS,
        unseen_persons=people.person[test] if named else None,
    )
    report = verify(
        seen,
        seen,
        seed=seed,
        permutations=PERMUTATIONS,
        unseen_persons=people.person[test] if named else None,
        reference=check,
    )
    fired = check.fires(POLICY.reference_auc, POLICY.reference_p)
    return _judged(report, name, n_f, fired)


def _observation(seen: SetObservation, sets: tuple[Rows, Rows, Rows, Rows]) -> Observation:
    return Observation(*(_part(seen, rows) for rows in sets))


def _part(seen: SetObservation, rows: Rows) -> SetObservation:
    shifted = seen.shifted_evidence
    return SetObservation(
        seen.logits[rows], seen.labels[rows], None if shifted is None else shifted[rows]
    )


def _judged(report: Report, name: str, n_f: int, fired: bool = False) -> Outcome:
    plain = report.to_dict()
    verdict = judge(plain, POLICY)
    without = judge({**plain, "learned_attack": None, "stability_attack": None}, POLICY)
    scores, same = plain["scores"], plain["rf_jsd"]["same_after"]
    p = {score: figures["after"]["p_two_sided"] for score, figures in scores.items()}
    for attack in ("kuiper", "band", "learned_attack", "stability_attack"):
        if plain[attack] is not None and plain[attack]["after"]["p_value"] is not None:
            p[attack] = plain[attack]["after"]["p_value"]
    intervals = {score: figures["after"]["interval_90"] for score, figures in scores.items()}
    return Outcome(
        case=name,
        n_f=n_f,
        verdict=verdict.name.value,
        blocked_by_unread=without.name is VerdictName.WITHIN_MARGIN
        and verdict.name is not without.name,
        covered={score: low <= 0.5 <= high for score, (low, high) in intervals.items()},
        p=p,
        same_model=(same["p_up"], same["p_low"]),
        band=plain["band"]["after"]["advantage"] if plain["band"] else float("nan"),
        auc=scores["phi"]["after"]["auc"],
        reference_fired=fired,
    )
