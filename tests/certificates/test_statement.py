import json
import re
from datetime import timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from app.certificates import wording
from app.certificates.commitment import commit
from app.certificates.model_erasure import OwnPart
from app.certificates.other_ends import (
    CAUSES,
    GROUNDS,
    refused_claims,
    refused_limits,
    reopened_claims,
    reopened_limits,
)
from app.certificates.sentences import LONGEST_SENTENCE
from app.certificates.statement import Statement, statement_of
from tests.certificates.facts import (
    PAGE,
    REFS,
    RUN,
    SALT,
    TIMES,
    at,
    attempt,
    model,
    no_match,
    own_figures,
    refused,
    reopened,
    unlearned,
    uuid,
)


def payload(case: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(statement_of(case).payload())
    return document


def test_it_is_an_in_toto_statement_about_the_new_weights() -> None:
    document = payload(unlearned())
    assert set(document) == {"_type", "subject", "predicateType", "predicate"}
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:lotus-unlearning:erasure-certificate:v1"
    assert document["subject"] == [{"name": "digits", "digest": {"sha256": "b" * 64}}]


def test_its_bytes_are_canonical_json() -> None:
    raw = statement_of(unlearned()).payload()
    again = json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":")).encode("ascii")
    assert raw == again


def test_the_same_facts_give_the_same_bytes_and_read_back_to_them() -> None:
    for case in (unlearned(), no_match(), refused(), refused(model()), reopened()):
        raw = statement_of(case).payload()
        assert statement_of(type(case).model_validate(case.model_dump())).payload() == raw
        assert Statement.model_validate_json(raw).payload() == raw


def test_times_are_written_in_utc_whatever_zone_they_came_in() -> None:
    there = at(2).astimezone(timezone(timedelta(hours=-8)))
    moved = TIMES.model_copy(update={"completed": there})
    assert payload(unlearned(times=moved))["predicate"]["times"] == {
        "submitted": "2026-03-01T12:00:00.000000Z",
        "received": "2026-03-01T13:00:00.000000Z",
        "due": "2026-04-01T23:59:59.000000Z",
        "extended_due": None,
        "completed": "2026-03-02T12:00:00.000000Z",
    }


def test_every_attempt_stands_in_it_with_its_figures() -> None:
    [about] = payload(unlearned())["predicate"]["models"]
    assert [(a["rung"], a["verdict"]) for a in about["attempts"]] == [
        (0, "distinguishable"),
        (1, "within_margin"),
    ]
    assert about["attempts"][1]["first_page"]["auc_before"] == 0.659
    assert about["attempts"][1]["config"] == {"alpha": 6.0, "lr": 0.0003, "epochs": 10}
    assert about["forget_set"]["count"] == 100
    assert about["own"]["commitment"]["count"] == 2


def test_a_no_match_is_about_the_datasets_that_were_searched() -> None:
    document = payload(no_match())
    name = "dst_0195a000000070008000000000000006"
    assert document["subject"] == [{"name": name, "digest": {"sha256": "c" * 64}}]
    assert document["predicate"]["searched"] == [
        {"dataset": name, "sha256": "c" * 64, "identity_types": ["email"]}
    ]
    assert document["predicate"]["outcome"] == "no_match"
    assert document["predicate"]["searched_at"] == "2026-03-01T13:00:00.000000Z"


def test_a_statement_about_other_weights_than_its_predicate_is_refused() -> None:
    document = payload(unlearned())
    document["subject"][0]["digest"]["sha256"] = "d" * 64
    with pytest.raises(ValidationError, match="not what the predicate is about"):
        Statement.model_validate(document)


PROMISES = [
    "The data was erased from the model.",
    "These samples are forgotten.",
    "The model FORGOT this person.",
    "This result is Compliant with the law.",
    "The service complies with Article 17.",
    "Compliance is shown.",
    "The weights are equivalent to retraining.",
    "The weights are equivalent  to\nretraining from scratch.",
]


@pytest.mark.parametrize("promise", PROMISES)
def test_no_sentence_may_promise_what_nobody_measured(promise: str) -> None:
    for case in (
        lambda: unlearned(claims=(promise,)),
        lambda: unlearned(limits=(promise,)),
        lambda: no_match(claims=(promise,)),
        lambda: model(verdict_sentence=promise),
        lambda: model(report={"reasons": {"all": promise}}),
        lambda: model(policy={"note": [promise]}),
        lambda: attempt(config={"note": promise}),
        lambda: model().own.model_validate(
            {**model().own.model_dump(), "figures": {"note": promise}}
        ),
    ):
        with pytest.raises(ValidationError):
            case()


def sentences() -> list[str]:
    """Everything that the service itself has to say."""
    models = (model(), model(attempts=(attempt(first_page=None, verdict=None),)))
    found = [*wording.unlearned_claims(models, accepted=False), *wording.unlearned_limits(models)]
    for held_out in (0, 3):
        for earlier in (False, True):
            found += wording.no_match_claims(
                no_match().searched,
                identity_count=2,
                held_out_count=held_out,
                previously_unlearned=earlier,
            )
    for words in GROUNDS:
        for law in ("gdpr", "ccpa"):
            stated = refused(model()).not_unlearned
            found += refused_claims(
                words, law, models=models, not_unlearned=stated, searched=no_match().searched
            )
            found += refused_limits(law, models, chosen=True)
    again = reopened().models
    same = again[0].model_copy(update={"withdrawn": again[0].current})
    new = again[0].model_copy(update={"withdrawn": None})
    for cause in CAUSES:
        found += reopened_claims(cause, "crt_1", (*again, same, new), since="t2", completed="t1")
    return found + list(wording.no_match_limits()) + list(reopened_limits())


def test_the_service_s_own_sentences_promise_nothing() -> None:
    forbidden = ("erased", "forgotten", "compliant", "equivalent to retraining")
    for sentence in sentences():
        assert not [word for word in forbidden if word in sentence.lower()], sentence
        assert re.fullmatch(r"[A-Z0-9].*\.", sentence), sentence
        assert len(sentence) <= LONGEST_SENTENCE, sentence


def test_claims_and_limits_say_what_they_must() -> None:
    claims = " ".join(wording.unlearned_claims((model(),), accepted=False))
    assert "forget set of 100 training samples, of which 2 belong to this request" in claims
    assert (
        "No attack tried told these 100 samples from unseen ones by more than the margins" in claims
    )
    limits = " ".join(wording.unlearned_limits((model(),)))
    for needed in (
        "approximate",
        "formal guarantee",
        "650 unseen samples",
        "backups",
        "downstream",
    ):
        assert needed in limits


@pytest.mark.parametrize("part", ["claims", "limits"])
def test_a_certificate_without_claims_or_limits_is_refused(part: str) -> None:
    with pytest.raises(ValidationError):
        unlearned(**{part: ()})
    with pytest.raises(ValidationError):
        no_match(**{part: ()})


def test_the_figures_of_other_persons_are_refused() -> None:
    with pytest.raises(ValidationError, match="other persons"):
        model(report={"persons": [{"person": 0}]})


def test_an_own_part_that_is_no_part_of_the_forget_set_is_refused() -> None:
    for commitment in (commit([*REFS, b"another"], SALT), commit(REFS[:2], b"t" * 32)):
        own = OwnPart(commitment=commitment, held_out_count=0, figures=None)
        with pytest.raises(ValidationError):
            model(own=own)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_figure_that_is_not_a_number_is_refused(wrong: float) -> None:
    for change in (
        lambda: model(report={"auc": {"after": wrong}}),
        lambda: attempt(config={"lr": [wrong]}),
        lambda: attempt(first_page={**PAGE.model_dump(), "auc_after": wrong}),
    ):
        with pytest.raises(ValidationError):
            change()


@pytest.mark.parametrize(
    "change",
    [
        {"external_id": "case-17"},
        {"subject": "ann@example.org"},
        {"regulation": "GDPR, Art. 17"},
        {"reason_code": "Ann asked twice"},
        {"outcome": "erased"},
        {"models": ()},
    ],
)
def test_a_fact_that_has_no_place_in_a_certificate_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        unlearned(**change)


@pytest.mark.parametrize("name", ["ann@example.org", "", "a b", "x" * 65])
def test_the_name_of_a_figure_is_no_place_for_a_text(name: str) -> None:
    with pytest.raises(ValidationError):
        model(report={"sizes": {name: 1}})


def test_a_refusal_without_a_reason_is_refused() -> None:
    with pytest.raises(ValidationError, match="without a reason"):
        refused(reason_code=None)


def test_a_refusal_is_about_the_weights_it_left_or_else_about_the_datasets_searched() -> None:
    assert payload(refused())["subject"] == [{"name": "faces", "digest": {"sha256": "d" * 64}}]
    both = payload(refused(model()))["subject"]
    assert [one["name"] for one in both] == ["digits", "faces"]
    alone = refused(not_unlearned=(), searched=no_match().searched)
    assert payload(alone)["subject"][0]["digest"] == {"sha256": "c" * 64}


def test_a_reopened_case_is_about_the_weights_that_are_current_now() -> None:
    assert payload(reopened())["subject"] == [{"name": "digits", "digest": {"sha256": "a" * 64}}]


def whole_run() -> OwnPart:
    return OwnPart(commitment=commit(REFS, SALT), held_out_count=0, figures=None)


def test_a_part_of_a_run_is_told_apart_from_the_run() -> None:
    limits = " ".join(wording.unlearned_limits((model(),)))
    assert "are of the whole run, 100 samples of all the requests that it served" in limits
    assert "Of these 2 belong to this request, and nothing follows for them alone" in limits
    one = OwnPart(commitment=commit(REFS[:1], SALT), held_out_count=0, figures=None)
    assert "Of these 1 belongs to" in " ".join(wording.unlearned_limits((model(own=one),)))
    alone = " ".join(wording.unlearned_limits((model(own=whole_run()),)))
    assert "whole run" not in alone


def test_attempts_that_were_judged_before_are_told_with_what_follows_for_the_figures() -> None:
    limits = " ".join(wording.unlearned_limits((model(),)))
    assert "2 attempts on model mdl_0195a000000070008000000000000003 were judged" in limits
    assert "figures tend to look better than they are" in limits
    once = (attempt(),)
    assert "were judged" not in " ".join(wording.unlearned_limits((model(attempts=once),)))


def test_an_attempt_that_no_test_judged_and_a_retrained_version_were_not_chosen_by_figures() -> (
    None
):
    stopped = attempt(RUN, state="superseded", verdict=None, first_page=None)
    again = (stopped, attempt(follows=RUN))
    assert "were judged" not in " ".join(wording.unlearned_limits((model(attempts=again),)))
    retrained = (attempt(state="rejected"), attempt(follows=RUN, rung=1, method="retrain"))
    assert "were judged" not in " ".join(wording.unlearned_limits((model(attempts=retrained),)))


def test_where_no_attack_could_be_run_no_figure_is_said_to_show_anything() -> None:
    for page in (None, PAGE.model_copy(update={"auc_after": None})):
        limits = " ".join(wording.unlearned_limits((model(attempts=(attempt(first_page=page),)),)))
        assert "no figure here shows whether it can tell the samples" in limits
        assert "Measured on" not in limits


def test_the_version_that_a_decision_published_is_named() -> None:
    mine, other = model(), model(published={"version": uuid(12), "number": 7, "sha256": "c" * 64})
    accepted = OwnPart(
        commitment=commit(REFS[:2], SALT),
        held_out_count=0,
        figures=own_figures(2, outcome="unlearned_accepted"),
    )
    both = " ".join(
        wording.unlearned_claims((mine, other.model_copy(update={"own": accepted})), accepted=True)
    )
    assert "The tests rejected version 7 (ver_" in both and "rejected version 2" not in both
    assert "rejected version 2 (" in " ".join(wording.unlearned_claims((mine,), accepted=True))
    unknown = " ".join(wording.unlearned_claims((mine, other), accepted=True))
    assert "rejected a version named here" in unknown


def test_a_search_that_found_nothing_says_what_that_can_mean() -> None:
    claims = wording.no_match_claims(
        no_match().searched, identity_count=1, held_out_count=0, previously_unlearned=True
    )
    assert "nothing was found that a model's current version still had to unlearn" in claims[0]
    assert "or runs of this service had worked on every one of them before" in claims[0]
    assert "ended with a published version" in claims[1]
