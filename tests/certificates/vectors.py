"""The test vectors for third parties, in docs/vectors: `python -m tests.certificates.vectors`.

Everything comes from fixed seeds and invented facts, so that the same files come out every time.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.certificates import dsse, wording
from app.certificates.commitment import commit
from app.certificates.model_erasure import OwnPart
from app.certificates.statement import AnyCase, Destruction, Replaced
from app.signing import public_pem
from tests.certificates import flaws
from tests.certificates.facts import SALT, at, attempt, model, no_match, refused, reopened, uuid
from tests.certificates.facts import unlearned as case_of
from tests.certificates.sealed import OURS, THEIRS, Log, leaf_of, numbered, payload_of, sha256

FOLDER = Path(__file__).parents[2] / "docs" / "vectors"
REFS = [sha256(b"sample %d" % number).encode() for number in range(100)]
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
    about = model(
        forget_set=commit(REFS, SALT),
        own=OwnPart(commitment=commit(REFS[:2], SALT), held_out_count=1, figures={"n": 2}),
    )
    not_testable = model(
        forget_set=commit(REFS[:5], SALT),
        own=OwnPart(commitment=commit(REFS[:5], SALT), held_out_count=0, figures=None),
        attempts=(attempt(first_page=None, verdict="insufficient_data"),),
        verdict="insufficient_data",
        verdict_sentence="5 samples can exclude only deviations above 0.38.",
    )
    unlearned = numbered(case_of(about), uuid(100))
    replaced = Replaced(certificate=uuid(100), payload_sha256=sha256(payload_of(unlearned)))
    destroyed = (
        Destruction(what="links", state="done", at=at(9), count=2),
        Destruction(what="data_rows", state="done", at=at(9, 13), count=2),
        Destruction(what="weights", state="done", at=at(9, 14), sha256="a" * 64),
    )
    closed = case_of(
        about,
        destruction=destroyed,
        claims=(
            *wording.unlearned_claims((about,), accepted=False),
            wording.closed_claim(destroyed),
        ),
        limits=(*wording.unlearned_limits((about,)), wording.closed_limit()),
        replaces=replaced,
    )
    return {
        "unlearned": unlearned,
        "unlearned-not-testable": numbered(
            case_of(not_testable, outcome="unlearned_not_testable", request=uuid(201)), uuid(101)
        ),
        "unlearned-accepted": numbered(
            case_of(
                about,
                outcome="unlearned_accepted",
                request=uuid(202),
                claims=wording.unlearned_claims((about,), accepted=True),
            ),
            uuid(102),
        ),
        "no-match": numbered(no_match(request=uuid(203)), uuid(103)),
        "refused": numbered(refused(request=uuid(204)), uuid(104)),
        "refused-in-part": numbered(refused(about, request=uuid(205)), uuid(105)),
        "reopened": numbered(reopened(replaces=replaced), uuid(106)),
        "closed": numbered(closed, uuid(107)),
    }


def the_log(cases: dict[str, AnyCase]) -> tuple[Log, dict[str, int]]:
    """Every good certificate's leaf among others, at places of its own."""
    leaves = [b'{"facts":{},"kind":"test:leaf:other","time":"%d"}' % n for n in range(23)]
    places = {name: 2 + 2 * number for number, name in enumerate(cases)}
    for name, case in cases.items():
        leaves[places[name]] = leaf_of(payload_of(case), case, now=at(6))
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
