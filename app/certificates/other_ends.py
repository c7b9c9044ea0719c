"""The claims and limits of a case that was refused, and of one that is worked on again."""

from collections.abc import Mapping, Sequence

from app.certificates.model_erasure import ModelErasure
from app.certificates.statement import NotUnlearned, SearchedDataset, WorkedOnAgain
from app.certificates.wording import (
    ACCEPTED,
    OUT_OF_SCOPE,
    counted,
    unlearned_claims,
    unlearned_limits,
)
from app.ids import model_id, version_id

GDPR = "gdpr"
# What each reason says, and where the GDPR says so.
GROUNDS: Mapping[str, tuple[str, str]] = {
    "freedom_of_expression": (
        "the processing is necessary for exercising the right of freedom of expression and "
        "information",
        "Art. 17(3)(a)",
    ),
    "legal_obligation": (
        "a legal obligation, or a task carried out in the public interest or in the exercise of "
        "official authority, requires the processing",
        "Art. 17(3)(b)",
    ),
    "public_health": (
        "the processing is necessary for reasons of public interest in the area of public health",
        "Art. 17(3)(c)",
    ),
    "archiving_or_research": (
        "the processing is necessary for archiving in the public interest, for scientific or "
        "historical research or for statistical purposes, and the right is likely to make "
        "that impossible or to seriously impair it",
        "Art. 17(3)(d)",
    ),
    "legal_claims": (
        "the processing is necessary for the establishment, exercise or defence of legal claims",
        "Art. 17(3)(e)",
    ),
    "identity_not_verified": (
        "the identity of the person who asked could not be confirmed",
        "Art. 12(2) and 12(6)",
    ),
    "manifestly_unfounded": (
        "the request was held to be manifestly unfounded or excessive",
        "Art. 12(5)(b)",
    ),
}
CAUSES: Mapping[str, str] = {
    "rolled_back": (
        "a rollback made an earlier version of a model current again, which had not unlearned the "
        "person's samples"
    ),
    "trained_elsewhere": (
        "a version that was trained elsewhere on the same data was registered, and may have been "
        "trained on the person's samples again"
    ),
    "model_added": (
        "a model was registered that was trained on samples of the person; the earlier certificate "
        "says nothing of it"
    ),
    "relapsed": (
        "a later version of the model was compared with the one that the earlier certificate rests "
        "on, and an attack told the person's samples from unseen ones better on it, by more than "
        "chance and a margin explain (figures: `erasure:case:relapsed` in the audit log)"
    ),
    "relapse_shared": (
        "an attack told another person's samples from unseen ones better on a later version of the "
        "model than before, by more than chance and a margin explain, and some of these samples "
        "show this person as well"
    ),
}
_NOT_EXAMINED = (
    "The reason is the controller's. Whether it applies was not examined by this service, and "
    "nothing follows from this certificate for that question."
)
_NO_NOTICE = (
    "This certificate records the decision. It is not the notice that the person is owed of the "
    "reasons, of the right to lodge a complaint and of the right to a judicial remedy (GDPR Art. "
    "12(4))."
)
_STANDS = (
    "When this was written, the person's samples that were found, what links them to the person, "
    "and weights that were trained on them were still held, except where this certificate says "
    "otherwise."
)
_AS_OF = (
    "This is the state at the time named. Whether the case has ended since, only a newer "
    "certificate can say; a request that is cancelled gets none."
)
_NO_RELIANCE = (
    "Until a newer certificate replaces this one, nothing that the earlier one says of the present "
    "state is to be relied on. What it says of past runs, their figures and times is unchanged."
)


def refused_claims(
    reason: str,
    regulation: str,
    *,
    models: Sequence[ModelErasure],
    not_unlearned: Sequence[NotUnlearned],
    searched: Sequence[SearchedDataset],
) -> tuple[str, ...]:
    claims = [_refusal(reason, regulation)]
    claims += [
        f"Nothing was unlearned from version {version_id(one.current.version)} of model "
        f"{model_id(one.model)} for this request. Found among the training data registered with "
        f"it: {counted(one.training_count, 'sample')} of the person."
        for one in not_unlearned
    ]
    if not not_unlearned and not models:
        claims.append(
            f"No model was changed for this request. {counted(len(searched), 'dataset')} "
            "had been searched for the person's samples."
        )
    if models:
        claims.append(
            "Before the refusal a version was published for this request for "
            f"{counted(len({one.model for one in models}), 'model')}; what follows "
            "concerns these alone."
        )
        accepted = any((one.own.figures or {}).get("outcome") == ACCEPTED for one in models)
        claims += unlearned_claims(models, accepted=accepted)
    return tuple(claims)


def refused_limits(
    regulation: str, models: Sequence[ModelErasure], *, chosen: bool
) -> tuple[str, ...]:
    measured = unlearned_limits(models, chosen=chosen) if models else ()
    notice = (_NO_NOTICE,) if regulation == GDPR else ()
    return (_NOT_EXAMINED, *notice, _STANDS, *measured)


def reopened_claims(
    cause: str, replaced: str, models: Sequence[WorkedOnAgain], *, since: str, completed: str
) -> tuple[str, ...]:
    """`replaced` names the earlier certificate; `since` and `completed` are times."""
    why = CAUSES.get(cause, f"of {cause}")
    claims = [
        f"Certificate {replaced} states that the case was completed at {completed}. Since {since} "
        f"that no longer holds, because {why}. The case is open again."
    ]
    for one in models:
        now = f"Current for model {model_id(one.model)} is {version_id(one.current.version)}"
        if one.withdrawn is None:
            claims.append(f"{now}; for this request nothing has been unlearned from it.")
        elif one.withdrawn.version == one.current.version:
            claims.append(f"{now}, which the earlier certificate rests on.")
        else:
            claims.append(
                f"{now}, and no longer {version_id(one.withdrawn.version)}, which the earlier "
                "certificate rests on."
            )
    return tuple(claims)


def reopened_limits() -> tuple[str, ...]:
    return (_NO_RELIANCE, _AS_OF, OUT_OF_SCOPE)


def _refusal(reason: str, regulation: str) -> str:
    if reason not in GROUNDS:
        return f"The controller refused the request. The reason given is {reason}."
    words, article = GROUNDS[reason]
    where = f" (GDPR {article})" if regulation == GDPR else ""
    return f"The controller refused the request. The reason given is that {words}{where}."
