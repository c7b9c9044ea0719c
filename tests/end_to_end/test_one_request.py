"""One deletion request, from HTTP to a published version, with real processes."""

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
import safetensors.numpy
from sqlalchemy import select

from app.certificates.tables import Certificate
from app.db import Database
from tests.end_to_end.service import Service, subject, until

WHO = "customer-0042"
pytestmark = pytest.mark.timeout(180)

# Every run draws a seed of its own, and the default margins reject one now and then, rightly.
# A test that is about what follows a publication must not depend on that.
LONG = {"epochs": 60, "steer": False, "alpha": 1.0}
LENIENT = {"delta_auc": 0.3, "delta_band": 0.6, "max_accuracy_fall": 0.1}


def test_a_request_ends_in_a_verified_published_version(
    digits: Path, on_each_database: Service, tmp_path: Path
) -> None:
    with on_each_database as service:
        model = service.register(digits, verification=LENIENT)
        client = service.client
        before = client.get_model(model).current_version
        (impact,) = client.impact(subject(WHO))
        assert impact.forget_count == 100 and impact.enough_data

        request = service.follow(client.submit_erasure(subject(WHO)).id)
        assert (request.state, request.outcome) == ("completed", "unlearned")
        (item,) = request.items
        assert item.run is not None
        run = client.get_run(item.run)
        after = client.get_model(model).current_version
        assert before is not None and after is not None and run.published_version is not None
        assert run.base_sha256 == before.sha256
        assert run.published_version.sha256 == after.sha256 != before.sha256
        assert after.number == before.number + 1

        _the_report_says_what_happened(run.metrics, run.epochs)
        drawn = client.get_plots(run.id)
        assert drawn.entropy is not None and drawn.entropy.forget_after.size == 100
        assert drawn.roc is not None and drawn.rf_jsd is not None
        assert drawn.roc["phi"].after.auc == run.metrics["scores"]["phi"]["after"]["auc"]
        # What only the runner can tell the library and the rule.
        assert run.metrics["reference"]["unusual_p"] is not None  # whose the unseen rows are
        assert run.verdict["runs_in_30_days"] == 1
        assert run.config["execution"]["precision"] == "float32"
        assert run.verdict is not None
        assert run.verdict["name"] in ("within_margin", "reduced", "not_shown")
        assert item.numbers is not None and item.numbers["samples"] == 100

        weights = tmp_path / "weights.safetensors"
        client.download_current_weights(model, weights)
        assert hashlib.sha256(weights.read_bytes()).hexdigest() == after.sha256
        assert safetensors.numpy.load(weights.read_bytes())

        kinds = [entry.kind for entry in client.audit_entries(request=request.id)]
        assert kinds[0] == "erasure:request:received"
        assert "certificates:certificate:written" in kinds
        head = until(lambda: head if not (head := client.audit_head()).pending else None, "order")
        assert head.size > len(kinds)
        _the_certificate_is_of_this_case(service, request.id, after.sha256)


def _the_report_says_what_happened(report: dict | None, epochs: list) -> None:  # type: ignore[type-arg]
    assert report is not None and epochs
    assert report["sizes"]["n_f"] == 100
    auc = report["scores"]["phi"]
    assert auc["before"]["auc"] > 0.6 > auc["after"]["auc"]
    assert report["accuracy"]["test"]["after"]["value"] > 0.9
    assert {"temperature", "accuracy_gap", "validation_auc"} <= epochs[0].keys()
    assert epochs[0]["validation_member_excess"] is not None  # it chose the epoch


def _the_certificate_is_of_this_case(service: Service, request: str, sha256: str) -> None:
    database = Database(service.database_url)
    with database.read() as session:
        (certificate,) = session.scalars(select(Certificate)).all()
        statement = json.loads(certificate.payload)
        assert hashlib.sha256(certificate.payload).hexdigest() == certificate.payload_sha256
    database.dispose()
    assert statement["predicate"]["request"] == request
    assert statement["subject"][0]["digest"]["sha256"] == sha256


def test_a_runner_that_is_killed_is_started_again_and_the_request_completes_once(
    digits: Path, on_each_database: Service
) -> None:
    with on_each_database as service:
        # Long enough to be caught in the middle.
        model = service.register(digits, ladder=[], settings=LONG)
        request = service.client.submit_erasure(subject(WHO)).id
        runner = service.runner()
        run = service.client.get_request(request).items[0].run
        assert run is not None
        until(lambda: service.client.get_run(run).epochs or None, "an epoch")
        os.kill(runner, signal.SIGKILL)
        until(lambda: _reached(service, run, 2), "a second attempt")
        ended = service.follow(request)
        assert ended.state in ("completed", "needs_decision")
        versions = list(service.client.list_versions(model))
        assert len([version for version in versions if version.run == run]) == 1
        moves = [
            (entry.facts["from_state"], entry.facts["to_state"], entry.facts["attempt"])
            for entry in service.client.audit_entries(request=None)
            if entry.kind == "erasure:run:moved"
        ]
        assert ("running", "queued", 1) in moves
        assert [attempt for _, to, attempt in moves if to in ("succeeded", "rejected")] == [2]


def _reached(service: Service, run: str, attempt: int) -> bool | None:
    return service.client.get_run(run).attempt == attempt or None


def test_the_service_that_is_killed_goes_on_where_it_was(digits: Path, tmp_path: Path) -> None:
    """The lease of the dead worker runs out; the next service's loop takes the run back."""
    service = Service(tmp_path / "data", LOTUS_LEASE_SECONDS="4", LOTUS_SWEEP_SECONDS="1")
    with service:
        service.register(digits, verification=LENIENT)
        request = service.client.submit_erasure(subject(WHO)).id
        runner = service.runner()
        service.stop(signal.SIGKILL)
        until(lambda: not Path(f"/proc/{runner}").exists() or None, "the runner's end")
        service.start()
        assert service.follow(request).state == "completed"


def test_a_stop_in_the_middle_of_a_run_is_no_crash(digits: Path, tmp_path: Path) -> None:
    with Service(tmp_path / "data") as service:
        service.register(digits, ladder=[], settings=LONG)
        request = service.client.submit_erasure(subject(WHO)).id
        runner = service.runner()
        service.stop(signal.SIGTERM)
        assert not Path(f"/proc/{runner}").exists()
        service.start()
        ended = service.follow(request)
        assert ended.state in ("completed", "needs_decision")
        moves = [
            (entry.facts["event"], entry.facts["to_state"])
            for entry in service.client.audit_entries()
            if entry.kind == "erasure:run:moved"
        ]
        assert ("stopped", "queued") in moves
        assert not {"crashed", "lease_expired"} & {event for event, _ in moves}


def test_a_run_that_its_tests_reject_publishes_nothing_until_a_person_decides(
    digits: Path, tmp_path: Path
) -> None:
    with Service(tmp_path / "data") as service:
        ruinous = {"learning_rate": 0.1, "epochs": 2, "steer": False}
        model = service.register(digits, ladder=[], settings=ruinous)
        client = service.client
        waiting = service.follow(client.submit_erasure(subject(WHO)).id)
        assert waiting.state == "needs_decision" and waiting.certificate is None
        (item,) = waiting.items
        assert item.run is not None
        rejected = client.get_run(item.run)
        assert rejected.state == "rejected" and rejected.published_version is None
        assert rejected.verdict is not None and rejected.verdict["publish"] is False
        current = client.get_model(model).current_version
        assert current is not None and current.number == 1

        client.decide(
            waiting.id,
            item.id,
            "retry",
            settings={"learning_rate": 3e-4, "epochs": 10, "steer": True},
        )
        ended = service.follow(waiting.id)
        again = client.get_run(ended.items[0].run or "")
        assert (again.rung, again.config and again.config["learning_rate"]) == (1, 3e-4)
        assert ended.state in ("completed", "needs_decision")
        if ended.state == "needs_decision":  # a chance of one in twenty or so
            client.decide(waiting.id, ended.items[0].id, "accept")
            assert client.get_request(waiting.id).outcome == "unlearned_accepted"
        current = client.get_model(model).current_version
        assert current is not None and current.number == 3


def test_cancelling_stops_the_runner_and_publishes_nothing(digits: Path, tmp_path: Path) -> None:
    with Service(tmp_path / "data", LOTUS_LEASE_SECONDS="4") as service:
        model = service.register(digits, settings={"epochs": 400, "steer": False})
        request = service.client.submit_erasure(subject(WHO)).id
        runner = service.runner()
        assert service.client.cancel(request).state == "cancelled"
        until(lambda: not Path(f"/proc/{runner}").exists() or None, "the runner's end")
        assert [version.number for version in service.client.list_versions(model)] == [1]
        assert service.client.get_request(request).state == "cancelled"
