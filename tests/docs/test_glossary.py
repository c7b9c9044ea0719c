"""docs/glossary.md: it says what the dashboard says, and leaves out no state and no figure."""

import json
import re
from dataclasses import fields

import pytest

from app.erasure.states import ItemState, Outcome, RequestState, RunState
from app.erasure.tables import ErrorClass
from app.erasure.verdict import VerdictName
from tests.architecture.test_docs import table_rows
from tests.docs.pages import ROOT, text_of
from workers.unlearning import report
from workers.unlearning.reference import ReferenceCheck

TERMS, FIELDS = text_of("docs/glossary.md").split("\n## Fields of a report\n")
ROWS = [row for row in table_rows(TERMS) if row[0] != "term"]
SCRIPT = (ROOT / "app/dashboard/web/glossary.js").read_text()
_TEXT = r'("(?:[^"\\]|\\.)*")'
DASHBOARD = [
    (json.loads(name), json.loads(means))
    for name, means in re.findall(rf"name:\s*{_TEXT},\s*means:\s*{_TEXT}", SCRIPT)
]
# By the part of the report that holds it.
PARTS = {
    "sizes": report.Sizes,
    "scores": report.AucFigures,
    "scores.*.change": report.PairedChange,
    "band": report.BandFigures,
    "kuiper": report.Statistic,
    "learned_attack": report.LearnedAttack,
    "rf_jsd": report.RfJsdFigures,
    "rf_jsd.same_before": report.SameModel,
    "accuracy": report.Accuracy,
    "utility": report.Utility,
    "membership_inference": report.PaperAttack,
    "reference": ReferenceCheck,
    "person_null": report.PersonNull,
    "persons": report.PersonFigures,
}


def test_every_word_of_the_dashboard_is_read() -> None:
    assert len(DASHBOARD) == len(re.findall(r"\bmeans:\s*\"", SCRIPT)) > 30


@pytest.mark.parametrize(("name", "means"), DASHBOARD, ids=[name for name, _ in DASHBOARD])
def test_the_page_explains_a_word_as_the_dashboard_does(name: str, means: str) -> None:
    assert [row[1] for row in ROWS if row[0] == name] == [means]


def test_the_words_stand_in_the_order_of_the_alphabet_and_once() -> None:
    names = [re.sub(r"[^a-z0-9]+", " ", row[0].lower()).strip() for row in ROWS]
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    "codes", [RequestState, ItemState, RunState, Outcome, VerdictName, ErrorClass], ids=str
)
def test_every_state_outcome_verdict_and_error_has_its_line(codes: type) -> None:
    named = set(re.findall(r"`(\w+)`", TERMS))
    assert {str(code) for code in codes} - named == set()


def test_every_field_of_a_report_is_listed_under_its_part() -> None:
    listed: dict[str, list[str]] = {}
    part = ""
    for row in table_rows(FIELDS)[1:]:
        part = re.split(r"[\[,:]|\.\*,", row[0])[0] or part
        listed.setdefault(part.removesuffix(".*"), []).append(row[1])
    assert listed == {name: [field.name for field in fields(kind)] for name, kind in PARTS.items()}
    named = {field.name for field in fields(report.Report)} - {"plots"}
    assert (
        named - {name.split(".")[0] for name in PARTS} - set(re.findall(r"`(\w+)`", FIELDS))
        == set()
    )
