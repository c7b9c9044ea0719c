"""A person, that person's samples and a case number go through everything; then all that is left is
searched for them, in real processes, while they work and after the case is closed."""

import base64
import json
import os
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from app.db import Database
from app.erasure.tables import ErasureRequest
from client import Subject
from tests.end_to_end.canaries import Canaries, answers, files, forms
from tests.end_to_end.service import Service, until

pytestmark = pytest.mark.timeout(300)
LENIENT = {"delta_auc": 0.45, "delta_band": 1.0, "max_accuracy_fall": 1.0}
# Long enough to be looked at while it computes.
LONG = {"epochs": 40, "steer": False, "alpha": 1.0}
FORGED = '{"level":"critical","message":"forged"}'


class Searched:
    """One service with a folder for temporary files of its own."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.service = Service(
            folder / "data",
            TMPDIR=str(self.temporary),
            LOTUS_LEASE_SECONDS="4",
            LOTUS_SWEEP_SECONDS="1",
        )

    def hits(self, canaries: Canaries) -> set[tuple[str, str]]:
        service = self.service
        return canaries.found_in(
            [*files(service.data, service.log, self.temporary), *answers(service.client)]
        )

    def secrets_found(self) -> list[str]:
        """Files in which a key of the service or of a caller stands, apart from the key files."""
        folder = self.service.data / "keys"
        keys = {one.name: one.read_text().strip() for one in folder.glob("*.key")}
        assert set(keys) == {"pseudonym.key", "secret.key", "suppression.key"}
        keys["signing.pem"] = "".join((folder / "signing.pem").read_text().splitlines()[1:-1])
        wanted: set[bytes] = forms(str(self.service._key).encode())
        for text in keys.values():
            encoded = text.rpartition(":")[2]
            wanted |= forms(base64.b64decode(encoded)) | {encoded.encode()}
        searched = files(self.service.data, self.service.log, self.temporary)
        return [
            place
            for place, content in searched
            if place != "keys" and any(form in content for form in wanted)
        ]

    def age_files(self) -> None:
        """As if an hour had gone by: young files are not destroyed."""
        old = time.time() - 3600
        for path in (self.service.data / "artifacts").rglob("*"):
            if path.is_file() and path.name != "log-mark.json":
                os.utime(path, (old, old))

    def end_the_window(self) -> None:
        database = Database(self.service.database_url)
        with database.write() as session:
            session.execute(
                update(ErasureRequest).values(next_closing_at=datetime.now(UTC) - timedelta(1))
            )
        database.dispose()

    def settled(self) -> bool | None:
        """No registration waits, and nothing is staged."""
        staging = self.service.data / "staging"
        return not [one for one in staging.rglob("*") if one.is_file()] or None


@pytest.fixture
def searched(tmp_path: Path) -> Searched:
    return Searched(tmp_path)


def registered(service: Service, folder: Path) -> str:
    """The model, by way of a service that dies as soon as it has accepted the data set."""
    about = json.loads((folder / "dataset.json").read_text())
    manifest = service.client.upload_artifact(folder / about.pop("manifest"))
    dataset = service.client.register_dataset(artifact=manifest.sha256, **about)
    service.stop(signal.SIGKILL)
    service.start()
    service.client.wait_until_ready(dataset)
    described = json.loads((folder / "model.json").read_text())
    weights = service.client.upload_artifact(folder / described["weights"])
    model = service.client.wait_until_ready(
        service.client.register_model(
            name="digits",
            dataset=dataset.id,
            architecture=described["architecture"],
            config=described["config"],
            artifact=weights.sha256,
            policy={"verification": LENIENT, "settings": LONG, "ladder": []},
        )
    )
    return model.id


# The pixels are the data that the service is there to hold until they are destroyed, and the case
# number is the controller's own: it stays with the case (docs/personal-data.md).
PIXELS = {("pixels", "artifacts")}
CASE = {
    ("external id", "lotus.db"),
    ("external id", "/api/v1/erasure-requests"),
    ("external id", "/api/v1/erasure-requests/export"),
    ("external id", "/api/v1/erasure-requests/{id}"),
    ("external id", "/api/v1/erasure-requests/{id}/events"),
    ("external id", "/api/v1/overview"),
    ("external id", "/api/v1/runs/{id}"),
}
JOURNAL = {("external id", "lotus.db-wal")}


def test_no_canary_is_found_where_it_must_not_be_and_none_of_the_person_after_closing(
    digits: Path, searched: Searched, tmp_path: Path
) -> None:
    canaries = Canaries.make()
    folder = canaries.put_into(digits, tmp_path / "upload")
    with searched.service as service:
        staged = service.client.upload_artifact(folder / "manifest.parquet")
        # The upload is where everything must be found: or this test could not fail.
        assert searched.hits(canaries) == {
            (name, "staging") for name in canaries.of.keys() - {"external id", "pixels"}
        }
        assert staged.state == "staged"
        registered(service, folder)
        until(searched.settled, "the end of the uploads")
        assert searched.hits(canaries) == PIXELS

        person = [Subject(canaries.email, type="email"), Subject(canaries.customer)]
        request = service.client.submit_erasure(person, external_id=canaries.external_id).id
        run = until(lambda: service.client.get_request(request).items[0].run, "the run")
        until(lambda: service.client.get_run(run).epochs or None, "an epoch")
        assert not searched.hits(canaries) - PIXELS - CASE - JOURNAL
        assert "0" == _core_limit(service.worker_loop()) == _core_limit(service.runner())

        completed = service.follow(request)
        assert completed.state == "completed", completed
        # A stranger finds nothing, and is forgotten as well.
        nobody = service.client.submit_erasure([Subject(f"nobody {canaries.customer}")]).id
        assert service.client.get_request(nobody).outcome == "no_match"
        assert service.client.impact(person)
        service.client.http.post("/api/v1/suppressions/search", json={"subjects": _bodies(person)})
        until(lambda: not service.client.audit_head().pending or None, "the sequencer")
        assert not searched.hits(canaries) - PIXELS - CASE - JOURNAL
        assert searched.hits(canaries) >= PIXELS  # until the case is closed

        searched.age_files()
        searched.end_the_window()
        until(lambda: service.client.get_request(request).closed_at, "the closing")
        until(lambda: not searched.hits(canaries) & PIXELS or None, "the end of the pixels", 90)
        assert not searched.hits(canaries) - CASE - JOURNAL
        assert searched.secrets_found() == []
    left = canaries.found_in(files(service.data, service.log, searched.temporary))
    assert left == {("external id", "lotus.db")}
    assert searched.secrets_found() == []


def test_a_canary_is_found_in_every_form_that_it_could_be_written_in() -> None:
    value = "jane+1f@canary.example"
    written = forms(value.encode())
    around = [base64.b64encode(b"x" * before + value.encode() + b"yz") for before in range(6)]
    for text in (*around, value.encode("utf-16"), b"jane%2B1f%40canary.example", value.encode()):
        assert any(form in b"..." + text + b"..." for form in written), text
    assert not any(form in b"jane+1e@canary.example" for form in written)


def _bodies(person: list[Subject]) -> list[dict[str, str]]:
    return [one.body() for one in person]


def _core_limit(pid: int) -> str:
    """Bytes of memory that the process would leave in a file if a signal ended it."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [one for one in limits if one.startswith("Max core file size")]
    return line.split()[4]


def raw_call(service: Service, lines: list[bytes]) -> bytes:
    """Bytes that no well-behaved client would send."""
    address = urlsplit(str(service.client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


def test_whatever_a_caller_sends_the_log_is_one_object_a_line_and_holds_none_of_it(
    searched: Searched,
) -> None:
    canaries = Canaries.make()
    with searched.service as service:
        http = service.client.http
        key = f"Authorization: Bearer {service._key}".encode()
        escaped = FORGED.replace('"', "%22").replace("{", "%7b").replace("}", "%7d")
        mark = canaries.email
        for target in (
            f"/api/v1/{mark}%0a{escaped}",
            f"/api/v1/erasure-requests/{mark}%0d%0a{escaped}",
            f"/api/v1/erasure-requests?external_id={mark}%0a{escaped}&cursor=%1b[31m{mark}",
            f"/api/v1/models/mdl_{mark}/versions/{mark}",
        ):
            sent = [
                f"GET {target} HTTP/1.1".encode(),
                b"Host: " + mark.encode(),
                key,
                b"User-Agent: \x1b[31m" + FORGED.encode() + mark.encode(),
                b"X-Request-ID: " + FORGED.encode() + mark.encode(),
                b"Idempotency-Key: " + mark.encode(),
            ]
            answer = raw_call(service, sent)
            assert answer.startswith(b"HTTP/1.1 ") and mark.encode() not in answer
        raw_call(service, [f"{mark} / HTTP/1.1".encode(), b"Host: x"])
        raw_call(service, [b"GET / HTTP/1.1", b"Host: x", mark.encode() + b"\x00: 1"])
        raw_call(service, [b"GET /api/v1/runs HTTP/1.1", b"Authorization: Bearer " + mark.encode()])
        nasty = f'{mark}"}}\n{FORGED}\x1b[31m\u2028'
        bodies: list[Any] = [
            {"external_id": nasty, "subjects": [{"type": "email", "value": nasty}]},
            {"regulation": nasty, "subjects": nasty, nasty: nasty},
            {"name": nasty, "task": nasty, "artifact": nasty, "class_names": [nasty]},
        ]
        for path in ("erasure-requests", "erasure-requests/impact", "datasets", "models"):
            for body in bodies:
                refused = http.post(f"/api/v1/{path}", json=body, headers={"X-Forwarded-For": mark})
                assert refused.status_code == 422 and mark not in refused.text
            for media_type, status in (("application/json", 400), (mark, 415)):
                refused = http.post(
                    f"/api/v1/{path}", content=nasty.encode(), headers={"Content-Type": media_type}
                )
                assert refused.status_code == status and mark not in refused.text
    lines = service.log.read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert len([one for one in logged if one["message"] == "request"]) > 15
    assert not [one for one in logged if one["message"] == "forged"]
    assert canaries.found_in(files(service.data, service.log, searched.temporary)) == set()
