"""`lotus certificate` and `lotus verify`."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from app.cli import evidence
from tests.certificates.vectors import FOLDER
from tests.cli.conftest import Result
from tests.client.service import answering

GOOD, FLAWED, KEY = (
    FOLDER / name for name in ("good-no-match.json", "flaw-other-tree.json", "public.pem")
)
REQUEST = "req_" + "0" * 32
Run = Callable[..., Result]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx2.Request]]:
    """A service that gives these answers, one after the other."""

    def serve(*answers: httpx2.Response) -> list[httpx2.Request]:
        client, calls = answering(*answers)
        monkeypatch.setattr(evidence, "connect", lambda: client)
        return calls

    return serve


def pending() -> httpx2.Response:
    document = {
        "type": "urn:lotus-unlearning:problem:certificate-pending",
        "title": "The certificate is not signed yet",
        "status": 409,
        "detail": "Soon.",
    }
    return httpx2.Response(409, json=document, headers={"Retry-After": "5"})


def issued() -> httpx2.Response:
    return httpx2.Response(200, content=GOOD.read_bytes())


def test_verify_needs_no_service_no_data_and_no_key_of_the_service(
    lotus: Run, tmp_path: Path
) -> None:
    good = lotus("verify", str(GOOD), "--key", str(KEY))
    assert (good.code, good.err) == (0, "")
    assert "ok    inclusion:" in good.out
    assert not (tmp_path / "data").exists()


def test_verify_exits_with_1_and_says_why(lotus_here: Run) -> None:
    bad = lotus_here("verify", str(FLAWED), "--key", str(KEY), "--json")
    assert bad.code == 1
    assert (bad.document["ok"], bad.document["failed"]) == (False, "inclusion")
    asked = lotus_here("verify", str(GOOD), "--key", str(KEY), "--request", REQUEST)
    assert asked.code == 1
    assert "another request than the one asked for" in asked.out


def test_a_certificate_is_written_to_the_output_byte_for_byte(
    lotus_here: Run, served: Callable[..., list[httpx2.Request]]
) -> None:
    calls = served(issued())
    assert lotus_here("certificate", REQUEST).out.encode() == GOOD.read_bytes()
    assert calls[0].url.path == f"/api/v1/erasure-requests/{REQUEST}/certificate"


def test_an_older_certificate_is_fetched_by_its_own_id(
    lotus_here: Run, served: Callable[..., list[httpx2.Request]], tmp_path: Path
) -> None:
    identity, target = "crt_" + "1" * 32, tmp_path / "bundle.json"
    calls = served(issued())
    result = lotus_here("certificate", identity, "--out", str(target), "--json")
    assert result.document == {"file": str(target), "size": len(GOOD.read_bytes())}
    assert target.read_bytes() == GOOD.read_bytes()
    assert calls[0].url.path == f"/api/v1/certificates/{identity}"


def test_a_file_that_is_there_is_left_as_it_is(
    lotus_here: Run, served: Callable[..., list[httpx2.Request]], tmp_path: Path
) -> None:
    target = tmp_path / "bundle.json"
    target.write_text("precious")
    served(issued())
    result = lotus_here("certificate", REQUEST, "--out", str(target))
    assert result.code == 1 and "left as it is" in result.err
    assert target.read_text() == "precious"


def test_a_certificate_that_is_not_signed_yet_can_be_waited_for(
    lotus_here: Run, served: Callable[..., list[httpx2.Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.erasures.CERTIFICATE_SECONDS", 0.0)
    served(pending())
    refused = lotus_here("certificate", REQUEST, "--json")
    assert refused.code == 1
    assert json.loads(refused.out)["error"]["type"].endswith(":certificate-pending")
    calls = served(pending(), pending(), issued())
    waited = lotus_here("certificate", REQUEST, "--wait", "60")
    assert (waited.code, len(calls)) == (0, 3)
