"""Each published certificate tells a story that a reader who knows the rules believes."""

import base64
import json
import math
from datetime import datetime
from typing import Any

import pytest

from app.certificates.other_ends import CAUSES
from app.erasure.deadlines import LAWS, due_at
from app.registry.policy import Policy
from tests.certificates.sealed import sha256
from tests.certificates.vectors import FOLDER

PUBLISHED = {"within_margin", "reduced", "not_shown"}
NOT_TESTABLE = {"insufficient_data", "no_valid_reference"}
POLICY = Policy().verification


def payload_of(name: str) -> bytes:
    bundle = json.loads((FOLDER / name).read_bytes())
    return base64.b64decode(bundle["envelope"]["payload"])


PAYLOADS = {path.name: payload_of(path.name) for path in sorted(FOLDER.glob("good-*.json"))}
CASES: dict[str, Any] = {name: json.loads(raw)["predicate"] for name, raw in PAYLOADS.items()}
MODELS = [
    pytest.param(case, model, id=f"{name} {model['name']}")
    for name, case in CASES.items()
    for model in case.get("models", [])
    if "attempts" in model
]
each_model = pytest.mark.parametrize(("case", "model"), MODELS)
each_case = pytest.mark.parametrize("name", CASES)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def written(name: str) -> datetime:
    bundle = json.loads((FOLDER / name).read_bytes())
    return at(json.loads(base64.b64decode(bundle["entry"]))["time"])


def was_rejected(attempt: dict[str, Any]) -> bool:
    """By its verdict, or since too much accuracy was lost."""
    page = attempt["first_page"]
    fell = page is not None and -page["accuracy_change"] > POLICY.max_accuracy_fall
    return attempt["verdict"] not in PUBLISHED | NOT_TESTABLE or fell


@each_case
def test_its_times_follow_each_other_and_the_law(name: str) -> None:
    case, times = CASES[name], CASES[name]["times"]
    assert at(times["due"]) == due_at(at(times["submitted"]), LAWS[case["regulation"]])
    ends = [case.get(end) or times["completed"] for end in ("reopened_at", "refused_at")]
    steps = [times["submitted"], times["received"], case.get("completed_before"), *ends]
    known = [at(step) for step in steps if step is not None]
    assert known == sorted(known)
    assert written(name) >= known[-1]


@each_case
def test_what_is_done_was_done_before_it_was_written_and_what_is_planned_comes_after(
    name: str,
) -> None:
    for one in CASES[name]["destruction"]:
        assert (at(one["at"]) <= written(name)) == (one["state"] == "done")
        assert one["what"] in ("links", "data_rows", "shard", "weights")
        assert (one["sha256"] is not None) == (one["what"] in ("shard", "weights"))


@each_case
def test_what_it_replaces_is_an_older_certificate_of_the_same_request(name: str) -> None:
    case = CASES[name]
    if case["replaces"] is None:
        return
    [(earlier, old)] = [
        (other, one)
        for other, one in CASES.items()
        if one["certificate"] == case["replaces"]["certificate"]
    ]
    assert case["replaces"]["payload_sha256"] == sha256(PAYLOADS[earlier])
    assert old["request"] == case["request"]
    assert written(earlier) < written(name)
    if case["outcome"] == "reopened":
        assert case["completed_before"] == old["times"]["completed"]
        assert case["outcome_before"] == old["outcome"]
        assert case["certificate"] not in case["claims"][0]
        assert old["certificate"] in case["claims"][0]
    else:
        planned = {(one["what"], one["sha256"]) for one in old["destruction"]}
        assert planned <= {(one["what"], one["sha256"]) for one in case["destruction"]}
        assert case["times"] == old["times"]


def test_no_two_certificates_replace_the_same_one_and_requests_share_nothing_else() -> None:
    replaced = [case["replaces"]["certificate"] for case in CASES.values() if case["replaces"]]
    assert len(replaced) == len(set(replaced))
    first = [case["request"] for case in CASES.values() if not case["replaces"]]
    assert len(first) == len(set(first))


def test_a_reopened_case_says_the_cause_that_its_versions_show() -> None:
    for case in CASES.values():
        if case["outcome"] != "reopened":
            continue
        assert CAUSES[case["cause"]] in case["claims"][0]
        for model in case["models"]:
            back = model["current"]["number"] < model["withdrawn"]["number"]
            assert back == (case["cause"] == "rolled_back")


@each_model
def test_the_verdict_is_one_that_its_outcome_can_have(case: Any, model: Any) -> None:
    last = model["attempts"][-1]
    said = (model["own"]["figures"] or {}).get("outcome", case["outcome"])
    if said == "unlearned_accepted":
        assert was_rejected(last)
        assert any("rejected" in claim for claim in case["claims"])
        return
    assert not was_rejected(last)
    if said == "unlearned_not_testable":
        assert last["verdict"] in NOT_TESTABLE
    elif said == "unlearned":
        assert last["verdict"] in PUBLISHED


@each_model
def test_every_attempt_before_the_last_was_rejected_and_none_had_the_figures_of_another(
    case: Any, model: Any
) -> None:
    *earlier, last = model["attempts"]
    assert all(was_rejected(one) for one in earlier)
    assert [one["rung"] for one in model["attempts"]] == list(range(len(model["attempts"])))
    ended = [at(one["finished"]) for one in model["attempts"]]
    started = [at(one["started"]) for one in model["attempts"]]
    assert all(end <= start for end, start in zip(ended, started[1:], strict=False))
    assert at(case["times"]["received"]) <= started[0]
    limit = case["times"]["completed"] or case.get("refused_at")
    assert ended[-1] <= at(limit)
    for page in (one["first_page"] for one in model["attempts"]):
        before = {name: value for name, value in page.items() if name.endswith("before")}
        same = last["first_page"]
        assert before == {name: same[name] for name in before}, "the base version is the same"


@pytest.mark.parametrize(
    ("model", "attempt"),
    [
        pytest.param(model, attempt, id=f"{name} {attempt['run']}")
        for name, case in CASES.items()
        for model in case.get("models", [])
        for attempt in model.get("attempts", [])
    ],
)
def test_the_figures_agree_with_each_other_and_with_the_verdict(model: Any, attempt: Any) -> None:
    page = attempt["first_page"]
    assert page["n_f"] == model["forget_set"]["count"]
    assert page["provable_margin"] == pytest.approx(
        2.93 * math.sqrt((1 / page["n_f"] + 1 / page["n_u"]) / 12), abs=0.002
    )
    ends = (abs(page["auc_low"] - 0.5), abs(page["auc_high"] - 0.5))
    assert page["margin_proved"] == pytest.approx(max(ends))
    assert page["auc_low"] < page["auc_after"] < page["auc_high"]
    change = page["accuracy_after"] - page["accuracy_before"]
    assert page["accuracy_change"] == pytest.approx(change)
    assert page["accuracy_change_low"] < change < page["accuracy_change_high"]
    band, bound = page["band_after"], page["band_upper"]
    assert (band is None) == (page["n_f"] < POLICY.min_band_n)
    assert band is None or band < bound
    within = max(ends) <= POLICY.delta_auc and bound is not None and bound <= POLICY.delta_band
    assert within == (attempt["verdict"] == "within_margin")
    if attempt["verdict"] == "distinguishable":
        far = abs(page["auc_after"] - 0.5) > POLICY.delta_auc
        assert far or page["band_after"] > POLICY.delta_band
    if attempt["verdict"] == "insufficient_data":
        assert page["provable_margin"] > POLICY.delta_auc


@each_model
def test_the_verdict_s_sentence_names_its_samples_and_margins(case: Any, model: Any) -> None:
    page, sentence = model["attempts"][-1]["first_page"], model["verdict_sentence"]
    assert sentence in case["claims"]
    if model["verdict"] == "within_margin":
        assert f"these {page['n_f']} samples" in sentence
        assert f"{POLICY.delta_auc:.2f} for deviations of the attack AUC from 0.5" in sentence
        assert f"{POLICY.delta_band:.2f} for the band advantage" in sentence
    if model["verdict"] == "insufficient_data":
        assert sentence.startswith(f"{page['n_f']} samples can exclude only deviations")
        assert f"above {page['provable_margin']:.2f}, where" in sentence


@each_model
def test_the_limits_fit_the_part_and_the_attempts(case: Any, model: Any) -> None:
    limits = " ".join(case["limits"])
    part = model["own"]["commitment"]["count"] < model["forget_set"]["count"]
    assert ("are of the whole run" in limits) == part
    assert ("were judged by the same tests" in limits) == (len(model["attempts"]) > 1)
    assert f"{model['forget_set']['count']} training samples" in " ".join(case["claims"])


@each_model
def test_what_is_destroyed_are_the_weights_that_it_started_from(case: Any, model: Any) -> None:
    weights = {one["sha256"] for one in case["destruction"] if one["what"] == "weights"}
    assert weights <= {model["base"]["sha256"]}
    assert bool(weights) == (case["outcome"] != "refused")
