"""The test vectors for third parties, in docs/vectors: `python -m tests.certificates.vectors`.

Everything comes from fixed seeds and invented facts, so that the same files come out every time.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.certificates import dsse, wording
from app.certificates.commitment import commit
from app.certificates.model_erasure import ModelErasure, OwnPart, VersionDigest
from app.certificates.statement import (
    AnyCase,
    Destruction,
    RefusedCase,
    ReopenedCase,
    Replaced,
    UnlearnedCase,
    WorkedOnAgain,
)
from app.signing import public_pem
from tests.certificates import flaws
from tests.certificates.facts import (
    PAGE,
    REFS,
    SALT,
    STILL_KNOWN,
    TIMES,
    at,
    attempt,
    model,
    no_match,
    own_figures,
    planned,
    refused,
    reopened,
    uuid,
)
from tests.certificates.facts import unlearned as case_of
from tests.certificates.sealed import OURS, THEIRS, Log, leaf_of, numbered, payload_of, sha256

FOLDER = Path(__file__).parents[2] / "docs" / "vectors"
NOTE = (
    "Invented facts, and keys from published seeds: never trust these keys. `file` is accepted by "
    "public.pem or not; `check` is the first check that fails."
)


@dataclass(frozen=True)
class Vector:
    """`check` is where the verifier stops; None for a bundle that it accepts."""

    name: str
    says: str
    check: str | None
    raw: bytes


def good_cases() -> dict[str, AnyCase]:
    """Each is a story that holds together, and none contradicts another."""
    unlearned = numbered(case_of(), uuid(100))
    accepted = numbered(_accepted(), uuid(102))
    part = model(own=OwnPart(commitment=commit(REFS[2:5], SALT), held_out_count=0, figures=None))
    return {
        "unlearned": unlearned,
        "unlearned-not-testable": numbered(_not_testable(), uuid(101)),
        "unlearned-accepted": accepted,
        "no-match": numbered(no_match(request=uuid(203)), uuid(103)),
        "refused": numbered(refused(request=uuid(204)), uuid(104)),
        "refused-in-part": numbered(refused(part, request=uuid(205)), uuid(105)),
        "reopened": numbered(_taken_back(accepted), uuid(106)),
        "closed": numbered(_closed(unlearned), uuid(107)),
    }


def _not_testable() -> UnlearnedCase:
    few = PAGE.model_copy(
        update={
            "n_f": 5,
            "provable_margin": 0.38,
            "auc_after": 0.54,
            "auc_low": 0.27,
            "auc_high": 0.81,
            "margin_proved": 0.31,
            **dict.fromkeys(("band_before", "band_after", "band_upper")),
        }
    )
    whole = commit(REFS[:5], SALT)
    about = _model_of_its_own(
        60,
        forget_set=whole,
        own=OwnPart(
            commitment=whole,
            held_out_count=0,
            figures=own_figures(
                5, verdict="insufficient_data", outcome="unlearned_not_testable", q=None
            ),
        ),
        attempts=(attempt(uuid(64), verdict="insufficient_data", first_page=few),),
        verdict="insufficient_data",
        verdict_sentence=(
            "5 samples can exclude only deviations of the attack AUC from 0.5 above 0.38, where "
            "the margin is 0.10. Nothing is shown either way."
        ),
        report={"sizes": {"n_f": 5}, "utility": {"n": 700}},
    )
    return case_of(
        about,
        outcome="unlearned_not_testable",
        request=uuid(201),
        times=TIMES.model_copy(update={"completed": at(2, 11)}),
        destruction=planned(about.base.sha256, completed=at(2, 11)),
    )


def _accepted() -> UnlearnedCase:
    """Two attempts that the tests rejected; a person had the second published two days later."""
    rejected = {"verdict": "distinguishable", "first_page": STILL_KNOWN}
    about = _model_of_its_own(
        70,
        own=OwnPart(
            commitment=commit(REFS[:2], SALT),
            held_out_count=1,
            figures=own_figures(
                2, mean_after=0.64, verdict="distinguishable", outcome="unlearned_accepted"
            ),
        ),
        attempts=(
            attempt(uuid(74), state="rejected", **rejected),
            attempt(uuid(75), rung=1, follows=uuid(74), **rejected),
        ),
        verdict="distinguishable",
        verdict_sentence=(
            "The loss attack and the band attack still tell the samples from unseen ones: AUC 0.66 "
            "before, 0.63 after."
        ),
    )
    completed = at(4)
    return case_of(
        about,
        outcome="unlearned_accepted",
        request=uuid(202),
        times=TIMES.model_copy(update={"completed": completed}),
        destruction=planned(about.base.sha256, completed=completed),
        claims=wording.unlearned_claims((about,), accepted=True),
    )


def _model_of_its_own(number: int, **changes: Any) -> ModelErasure:
    """So that what is said of it cannot contradict another vector."""
    return model(
        model=uuid(number),
        name=f"digits-{number}",
        base=VersionDigest(version=uuid(number + 1), number=1, sha256=sha256(b"base %d" % number)),
        published=VersionDigest(
            version=uuid(number + 2), number=2, sha256=sha256(b"published %d" % number)
        ),
        **changes,
    )


def _taken_back(earlier: UnlearnedCase) -> ReopenedCase:
    (about,) = earlier.models
    assert earlier.certificate is not None and earlier.times.completed is not None
    return reopened(
        request=earlier.request,
        replaces=replacing(earlier),
        completed_before=earlier.times.completed,
        outcome_before=earlier.outcome,
        models=(
            WorkedOnAgain(
                model=about.model, name=about.name, current=about.base, withdrawn=about.published
            ),
        ),
    )


def _closed(earlier: UnlearnedCase) -> UnlearnedCase:
    (about,), end = earlier.models, at(9)
    destroyed = (
        Destruction(what="links", state="done", at=end, count=3),
        Destruction(what="data_rows", state="done", at=at(9, 13), count=3),
        Destruction(what="shard", state="done", at=at(9, 13), sha256="f" * 64),
        Destruction(what="weights", state="done", at=at(9, 14), sha256=about.base.sha256),
    )
    return earlier.model_copy(
        update={
            "destruction": destroyed,
            "claims": (*earlier.claims, wording.closed_claim(destroyed)),
            "limits": (*earlier.limits, wording.closed_limit()),
            "replaces": replacing(earlier),
        }
    )


def replacing(earlier: AnyCase) -> Replaced:
    assert earlier.certificate is not None
    return Replaced(certificate=earlier.certificate, payload_sha256=sha256(payload_of(earlier)))


def written_at(case: AnyCase) -> datetime:
    """With the last thing that it states as done."""
    if isinstance(case, RefusedCase):
        return case.refused_at
    if isinstance(case, ReopenedCase):
        return case.reopened_at
    assert case.times.completed is not None
    done = [one.at for one in case.destruction if one.state == "done"]
    return max([case.times.completed, *done])


def the_log(cases: dict[str, AnyCase]) -> tuple[Log, dict[str, int]]:
    """Every good certificate's leaf among others, in the order in which they were written."""
    leaves = [b'{"facts":{},"kind":"test:leaf:other","time":"%d"}' % n for n in range(23)]
    in_order = sorted(cases, key=lambda name: written_at(cases[name]))
    places = {name: 2 + 2 * number for number, name in enumerate(in_order)}
    for name, case in cases.items():
        leaves[places[name]] = leaf_of(payload_of(case), case, now=written_at(case))
    return Log(leaves), places


def vectors() -> Iterator[Vector]:
    cases = good_cases()
    log, places = the_log(cases)
    good: dict[str, bytes] = {}
    for name, case in cases.items():
        envelope = dsse.envelope(payload_of(case), OURS)
        good[name] = dsse.bundle(log.leaves[places[name]], envelope, log.proof(places[name]))
        yield Vector(
            f"good-{name}", f"a certificate whose outcome is {case.outcome}", None, good[name]
        )
    for flaw in flaws.FLAWS:
        raw = flaw.make(flaws.Material(cases, log, places, good))
        yield Vector(f"flaw-{flaw.name}", flaw.says, flaw.check, raw)


def files() -> dict[str, bytes]:
    """Every file of the folder that is made here."""
    made = list(vectors())
    manifest = {
        "about": NOTE,
        "seeds": {
            "public.pem": bytes(range(32)).hex(),
            "other-public.pem": bytes(range(32, 64)).hex(),
        },
        "bundles": [
            {
                "file": f"{one.name}.json",
                "says": one.says,
                "accepted": one.check is None,
                "check": one.check,
            }
            for one in made
        ],
    }
    return {
        "manifest.json": json.dumps(manifest, indent=2).encode() + b"\n",
        "public.pem": public_pem(OURS.public).encode(),
        "other-public.pem": public_pem(THEIRS.public).encode(),
        **{f"{one.name}.json": one.raw for one in made},
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for old in FOLDER.glob("*.*"):
        if old.name not in wanted:
            old.unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_bytes(content)
    sys.stdout.write(f"{len(wanted)} files in {FOLDER}\n")


if __name__ == "__main__":
    main()
