"""The vectors in docs/vectors are what this code makes, and what it says of them."""

import json
from typing import Any

import pytest

from app.certificates import verify
from app.certificates.verify import Flaw, read_key
from tests.certificates import vectors
from tests.certificates.vectors import FOLDER

MANIFEST = json.loads((FOLDER / "manifest.json").read_bytes())
BUNDLES: list[dict[str, Any]] = MANIFEST["bundles"]


def test_the_folder_holds_exactly_what_the_program_makes() -> None:
    stored = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert stored == vectors.files()


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle["file"])
def test_each_vector_is_accepted_or_stopped_where_the_manifest_says(bundle: dict[str, Any]) -> None:
    raw = (FOLDER / bundle["file"]).read_bytes()
    keys = [read_key(FOLDER / "public.pem")]
    if bundle["accepted"]:
        assert verify.verify(raw, keys).outcome in bundle["says"]
    else:
        with pytest.raises(Flaw) as found:
            verify.verify(raw, keys)
        assert found.value.check == bundle["check"], found.value.reason


def test_there_is_a_good_vector_for_every_outcome_and_a_flaw_for_every_check() -> None:
    keys = [read_key(FOLDER / "public.pem")]
    good = [(FOLDER / one["file"]).read_bytes() for one in BUNDLES if one["accepted"]]
    outcomes = {verify.verify(raw, keys).outcome for raw in good}
    assert outcomes == set(verify._PREDICATES)
    passed: list[str] = []
    verify.verify(good[0], keys, passed=lambda check, what: passed.append(check))
    assert {one["check"] for one in BUNDLES if not one["accepted"]} == {*passed}


def test_the_other_key_alone_accepts_none_of_them() -> None:
    keys = [read_key(FOLDER / "other-public.pem")]
    for bundle in BUNDLES:
        with pytest.raises(Flaw):
            verify.verify((FOLDER / bundle["file"]).read_bytes(), keys)
