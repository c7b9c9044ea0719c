"""A certificate's facts, invented for the tests."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.canonical import instant_text
from app.certificates import other_ends, wording
from app.certificates.commitment import commit
from app.certificates.model_erasure import (
    Attempt,
    FirstPage,
    ModelErasure,
    OwnPart,
    VersionDigest,
)
from app.certificates.statement import (
    Destruction,
    NoMatchCase,
    NotUnlearned,
    RefusedCase,
    ReopenedCase,
    Replaced,
    SearchedDataset,
    Times,
    UnlearnedCase,
    WorkedOnAgain,
)
from app.erasure.deadlines import LAWS, due_at
from app.ids import certificate_id

SALT = bytes(range(32))
REFS = [bytes([number]) * 32 for number in range(1, 101)]


def uuid(number: int) -> UUID:
    return UUID(f"0195a000-0000-7000-8000-{number:012x}")


CONTROLLER, REQUEST, MODEL, RUN, FIRST_RUN, DATASET = (uuid(n) for n in range(1, 7))


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


COMPLETED = at(2)
TIMES = Times(
    submitted=at(1), received=at(1, 13), due=due_at(at(1), LAWS["gdpr"]), completed=COMPLETED
)

PAGE = FirstPage(
    n_f=100,
    n_u=650,
    provable_margin=0.091,
    auc_before=0.659,
    auc_after=0.512,
    auc_low=0.46,
    auc_high=0.56,
    margin_proved=0.06,
    band_before=0.44,
    band_after=0.05,
    band_upper=0.12,
    rf_jsd_before=0.03,
    rf_jsd_after=0.01,
    same_model_p=0.4,
    accuracy_before=0.976,
    accuracy_after=0.972,
    accuracy_change=-0.004,
    accuracy_change_low=-0.01,
    accuracy_change_high=0.002,
)
# Of an attempt on the same version and the same samples that its tests rejected.
STILL_KNOWN = PAGE.model_copy(
    update={
        "auc_after": 0.631,
        "auc_low": 0.58,
        "auc_high": 0.68,
        "margin_proved": 0.18,
        "band_after": 0.36,
        "band_upper": 0.43,
        "rf_jsd_after": 0.02,
        "same_model_p": 0.004,
        "accuracy_after": 0.975,
        "accuracy_change": -0.001,
        "accuracy_change_low": -0.006,
        "accuracy_change_high": 0.004,
    }
)
WITHIN = (
    "No attack tried told these 100 samples from unseen ones by more than the margins: 0.10 for "
    "deviations of the attack AUC from 0.5, 0.15 for the band advantage."
)


def attempt(run: UUID = RUN, *, rung: int = 0, **changes: Any) -> Attempt:
    facts: dict[str, Any] = {
        "run": run,
        "follows": None,
        "rung": rung,
        "step": "other_settings" if rung else "policy",
        "state": "succeeded",
        "method": "lotus",
        "mode": "guided",
        "config": {"alpha": 6.0, "lr": 3e-4, "epochs": 10},
        "seed": 17,
        "code_version": "0.1.0",
        "device": "NVIDIA H200 (cuda:0)",
        "started": at(2, 10 + rung),
        "finished": at(2, 11 + rung),
        "verdict": "within_margin",
        "first_page": PAGE,
    }
    return Attempt.model_validate(facts | changes)


def own_figures(samples: int, **changes: Any) -> dict[str, Any]:
    """What a run says of one request's samples."""
    facts: dict[str, Any] = {
        "samples": samples,
        "n": samples,
        "excluded": 0,
        "mean_before": 0.71,
        "mean_after": 0.55,
        "range_low": 0.1,
        "range_high": 0.9,
        "q": 0.6,
        "flagged": False,
        "verdict": "within_margin",
        "outcome": "unlearned",
    }
    return facts | changes


def planned(*weights: str, completed: datetime = COMPLETED, rows: bool = True) -> list[Destruction]:
    """What completing a case announces for the end of its rollback window."""
    when = completed + timedelta(days=7)
    what = ["links", *(["data_rows"] if rows else [])]
    return [
        *(Destruction(what=one, state="planned", at=when) for one in what),
        *(Destruction(what="weights", state="planned", at=when, sha256=one) for one in weights),
    ]


def model(**changes: Any) -> ModelErasure:
    facts: dict[str, Any] = {
        "model": MODEL,
        "name": "digits",
        "base": VersionDigest(version=uuid(10), number=1, sha256="a" * 64),
        "published": VersionDigest(version=uuid(11), number=2, sha256="b" * 64),
        "forget_set": commit(REFS, SALT),
        "own": OwnPart(commitment=commit(REFS[:2], SALT), held_out_count=1, figures=own_figures(2)),
        "attempts": (
            attempt(FIRST_RUN, state="rejected", verdict="distinguishable", first_page=STILL_KNOWN),
            attempt(rung=1, follows=FIRST_RUN),
        ),
        "verdict": "within_margin",
        "verdict_sentence": WITHIN,
        "report": {
            "sizes": {"n_f": 100},
            "utility": {"n": 700},
            "learned_attack": {
                "before": {"auc": 0.7, "p_value": 0.001},
                "after": {"auc": 0.52, "p_value": 0.3},
            },
            "accuracy": {"forget": {"before": {"value": 1.0}, "after": {"value": 0.99}}},
            "reasons": {"person_null": "too few unseen persons"},
        },
        "policy": {"delta_auc": 0.1, "delta_band": 0.15},
        "recipient_count": None,
    }
    return ModelErasure.model_validate(facts | changes)


def unlearned(*models: ModelErasure, **changes: Any) -> UnlearnedCase:
    about = models or (model(),)
    facts: dict[str, Any] = {
        "controller": CONTROLLER,
        "request": REQUEST,
        "times": TIMES,
        "regulation": "gdpr",
        "legal_ground": "consent_withdrawn",
        "reason_code": None,
        "earlier_request": None,
        "outcome": "unlearned",
        "models": about,
        "destruction": planned(*{one.base.sha256 for one in about}),
        "claims": wording.unlearned_claims(about, accepted=False),
        "limits": wording.unlearned_limits(about),
    }
    return UnlearnedCase.model_validate(facts | changes)


def no_match(**changes: Any) -> NoMatchCase:
    searched = (SearchedDataset(dataset=DATASET, sha256="c" * 64, identity_types=("email",)),)
    facts: dict[str, Any] = {
        "controller": CONTROLLER,
        "request": REQUEST,
        "times": TIMES.model_copy(update={"completed": at(1, 13)}),
        "regulation": "gdpr",
        "legal_ground": None,
        "reason_code": "no_samples",
        "earlier_request": None,
        "outcome": "no_match",
        "code_version": "0.1.0",
        "searched": searched,
        "identity_count": 1,
        "held_out_count": 0,
        "searched_at": at(1, 13),
        "destruction": planned(completed=at(1, 13), rows=False),
        "claims": wording.no_match_claims(
            searched, identity_count=1, held_out_count=0, previously_unlearned=False
        ),
        "limits": wording.no_match_limits(),
    }
    return NoMatchCase.model_validate(facts | changes)


def refused(*models: ModelErasure, **changes: Any) -> RefusedCase:
    left = (
        NotUnlearned(
            model=uuid(30),
            name="faces",
            current=VersionDigest(version=uuid(31), number=4, sha256="d" * 64),
            training_count=12,
            held_out_count=3,
        ),
    )
    facts: dict[str, Any] = {
        "controller": CONTROLLER,
        "request": REQUEST,
        "times": TIMES.model_copy(update={"completed": None}),
        "regulation": "gdpr",
        "legal_ground": "objection",
        "reason_code": "legal_claims",
        "earlier_request": None,
        "outcome": "refused",
        "code_version": "0.1.0",
        "refused_at": at(4),
        "models": models,
        "not_unlearned": left,
        "searched": (),
        "destruction": (),
        "claims": other_ends.refused_claims(
            "legal_claims", "gdpr", models=models, not_unlearned=left, searched=()
        ),
        "limits": other_ends.refused_limits("gdpr", models, chosen=False),
    }
    return RefusedCase.model_validate(facts | changes)


def reopened(**changes: Any) -> ReopenedCase:
    facts: dict[str, Any] = {
        "controller": CONTROLLER,
        "request": REQUEST,
        "times": TIMES.model_copy(update={"completed": None}),
        "regulation": "gdpr",
        "legal_ground": "consent_withdrawn",
        "reason_code": None,
        "earlier_request": None,
        "outcome": "reopened",
        "code_version": "0.1.0",
        "cause": "rolled_back",
        "reopened_at": at(5),
        "completed_before": at(2),
        "outcome_before": "unlearned",
        "models": (
            WorkedOnAgain(
                model=MODEL,
                name="digits",
                current=VersionDigest(version=uuid(10), number=1, sha256="a" * 64),
                withdrawn=VersionDigest(version=uuid(11), number=2, sha256="b" * 64),
            ),
        ),
        "replaces": Replaced(certificate=uuid(40), payload_sha256="e" * 64),
        "destruction": (),
        "limits": other_ends.reopened_limits(),
    }
    facts |= changes
    claims = other_ends.reopened_claims(
        facts["cause"],
        certificate_id(facts["replaces"].certificate),
        facts["models"],
        since=instant_text(facts["reopened_at"]),
        completed=instant_text(facts["completed_before"]),
    )
    return ReopenedCase.model_validate({"claims": claims, **facts})
