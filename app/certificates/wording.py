"""The claims and limits of a certificate, from the facts that it states."""

from collections.abc import Sequence

from app.certificates.model_erasure import Attempt, ModelErasure
from app.certificates.statement import Destruction, SearchedDataset
from app.ids import model_id, run_id, version_id

GUIDED = "guided"

RETRAIN = "retrain"
ACCEPTED = "unlearned_accepted"
OUT_OF_SCOPE = (
    "Out of scope are backups, copies of earlier weights that were pulled before, and whatever was "
    "derived from them downstream."
)
_NAMES = (
    "The word `unlearned` names what was done: a run worked on these samples and its version was "
    "published. It guarantees nothing about what the model still holds of them."
)
_APPROXIMATE = (
    "The method is approximate and comes without a formal guarantee: the new weights are not "
    "proved to be those that training without these samples would have given."
)
_RETRAINED = (
    "A version that was trained anew was handed none of the forget samples, by their ids. That "
    "says nothing of other copies of their content among the samples that were kept, nor of "
    "choices that were made with them before, such as the architecture or the training recipe."
)
_ONLY_THESE_TESTS = (
    "The figures come from the tests named here and nothing follows for tests that were not made. "
    "A test that finds nothing does not show that there is nothing to find."
)
_STEERED = (
    "In guided mode two of the attacks chose when the run stopped. They read the forget samples "
    "for it, so that their figures on these samples are no fresh measurement; the unseen samples "
    "that they are compared with took no part in the choice."
)
# What was tried again until it was published was chosen by its figures.
_TRIED_AGAIN = (
    "{} on model {} were judged by the same tests, and the one published was chosen after their "
    "results were seen, so that its figures tend to look better than they are. The p-values and "
    "the intervals of the first page make no allowance for that. The verdict does in part: with "
    "each rejection the interval that must lie within the margin grows wider. The level of a "
    "finding is halved as well, so that a weak signal is found less easily at a later attempt."
)
_CHOSEN = "The request named the models that it concerns, and nothing follows for any other model."
_REMAINS = (
    "Earlier weights, data rows and links still exist, except what is stated here as destroyed "
    "(`done`); `planned` is an intention."
)


def unlearned_claims(models: Sequence[ModelErasure], *, accepted: bool) -> tuple[str, ...]:
    """`accepted`: a version was published by a person's decision against its tests."""
    claims = []
    for model in models:
        last = model.attempts[-1]
        claims.append(
            f"Run {run_id(last.run)} worked on a forget set of "
            f"{counted(model.forget_set.count, 'training sample')}, of which "
            f"{model.own.commitment.count} belong to this request."
        )
        claims += _how(model, last)
        if len(model.attempts) > 1:
            before = counted(len(model.attempts) - 1, "earlier run")
            claims.append(
                f"It follows on {before}, listed here with what became of each; none of them "
                f"published anything. It is at rung {last.rung} of the ladder ({last.step})."
            )
        claims.append(model.verdict_sentence)
    if accepted:
        claims += [
            f"The tests rejected {which}; a person who was entitled to decide had it published all "
            "the same."
            for which in _accepted(models)
        ]
    return tuple(claims)


def _accepted(models: Sequence[ModelErasure]) -> list[str]:
    """The versions that a decision published, as far as the figures of the request tell them."""
    found = [
        model for model in models if (model.own.figures or {}).get("outcome") == ACCEPTED
    ] or list(models)
    if len(found) > 1 and len(found) == len(models):
        return ["a version named here"]
    return [
        f"version {model.published.number} ({version_id(model.published.version)})"
        for model in found
    ]


def _how(model: ModelErasure, last: Attempt) -> list[str]:
    became = f"became version {model.published.number} ({version_id(model.published.version)})."
    if last.method != RETRAIN:
        return [
            f"It started from version {model.base.number} with method {last.method} in mode "
            f"{last.mode}, and its weights {became}"
        ]
    told = [
        "The network was trained anew, from initial values, by the recipe that was registered with "
        f"the model and without the forget set; its weights {became}"
    ]
    proof = model.report.get("exact_retraining")
    if isinstance(proof, dict):
        told.append(
            f"The reader that served this training handed out {proof['rows_served']} rows, "
            f"repetitions included: {proof['distinct_rows_served']} different ones, of which "
            f"{proof['forbidden_rows_served']} are of the {proof['forbidden_rows']} in the forget "
            f"set. {proof['equal_rows']} of the rows that it may hand out have the same content as "
            "one of these."
        )
    return told


def closed_claim(destroyed: Sequence[Destruction]) -> str:
    """`destroyed` is what the certificate states as done."""
    rows = sum(one.count or 0 for one in destroyed if one.what == "data_rows")
    files = sum(one.what == "shard" for one in destroyed)
    weights = sum(one.what == "weights" for one in destroyed)
    return (
        "The case is closed: the request's references of the person, the list of the person's "
        "samples and the subjects of these samples were deleted, and "
        f"{counted(rows, 'data row')}, {counted(files, 'earlier file')} of data and "
        f"{counted(weights, 'file')} of earlier weights were destroyed."
    )


def closed_limit() -> str:
    """What a closed case keeps of the person."""
    return (
        "Kept are, among other things, a keyed tag of each identity for as long as the operator "
        "has set, so that data of the same person is noticed when it comes back; the case number "
        "that the controller gave; ids, times and figures of the case, its entries in the audit "
        "log and its certificates; and the current weights."
    )


def counted(number: int, thing: str, things: str | None = None) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {things or f'{thing}s'}"


def unlearned_limits(models: Sequence[ModelErasure], *, chosen: bool = False) -> tuple[str, ...]:
    """`chosen`: the request named the models that it concerned."""
    measured = [sentence for model in models for sentence in _measured(model)]
    scope = (_CHOSEN,) if chosen else ()
    exact = {model.attempts[-1].method == RETRAIN for model in models}
    method = tuple(
        text for kind, text in ((False, _APPROXIMATE), (True, _RETRAINED)) if kind in exact
    )
    steered = (_STEERED,) if any(model.attempts[-1].mode == GUIDED for model in models) else ()
    return (
        _NAMES,
        *method,
        *scope,
        *measured,
        *steered,
        _ONLY_THESE_TESTS,
        _REMAINS,
        OUT_OF_SCOPE,
    )


def _measured(model: ModelErasure) -> list[str]:
    """How far the figures of one model reach: their samples, whose they are, how often tried."""
    version = version_id(model.published.version)
    page, whole, own = (
        model.attempts[-1].first_page,
        model.forget_set.count,
        model.own.commitment.count,
    )
    found = []
    if page is not None and page.auc_after is not None:
        found.append(
            f"Measured on {counted(page.n_f, 'forget sample')} against "
            f"{counted(page.n_u, 'unseen sample')} of the data registered with the model of "
            f"version {version}; other data may show other figures."
        )
    else:
        found.append(
            f"No attack could be run on version {version}: no figure here shows whether it can "
            "tell the samples from unseen ones."
        )
    if own < whole:
        found.append(
            f"The verdict and the figures of version {version} are of the whole run, "
            f"{counted(whole, 'sample')} of all the requests that it served. Of these {own} "
            f"{'belongs' if own == 1 else 'belong'} to this request, and nothing follows for them "
            "alone: a signal that they carry may be lost among the others. Their own figures, if "
            "there are any, stand apart (`own`) and decided nothing."
        )
    judged = sum(one.verdict is not None for one in model.attempts)
    if judged > 1 and model.attempts[-1].method != RETRAIN:
        found.append(_TRIED_AGAIN.format(counted(judged, "attempt"), model_id(model.model)))
    return found


def no_match_claims(
    searched: Sequence[SearchedDataset],
    *,
    identity_count: int,
    held_out_count: int,
    previously_unlearned: bool,
) -> tuple[str, ...]:
    claims = [
        f"{counted(len(searched), 'dataset')} searched for "
        f"{counted(identity_count, 'identity', 'identities')} of the person: nothing was found "
        "that a model's current version still had to unlearn. Either no training sample is listed "
        "under these identities, or runs of this service had worked on every one of them before."
    ]
    if held_out_count:
        claims.append(
            f"{counted(held_out_count, 'sample')} of held-out splits found; the registered splits "
            "say that no model was trained on them."
        )
    if previously_unlearned:
        claims.append(
            "For this person an earlier request, named here, ended with a published version. What "
            "was done then and what tests said of it, the certificate of that request states."
        )
    return tuple(claims)


def no_match_limits(*, chosen_models: int | None = None) -> tuple[str, ...]:
    """`chosen_models`: how many models the request named, or None if it concerned all."""
    chosen = (
        ()
        if chosen_models is None
        else (
            f"The request named the models that it concerns ({chosen_models}), and only data that "
            "these were trained on was searched; nothing follows for any other model.",
        )
    )
    return (
        *chosen,
        "Only samples that a dataset lists under an identity of the types named here can be found.",
        "Data that no registered model was trained on was not searched.",
        OUT_OF_SCOPE,
    )
