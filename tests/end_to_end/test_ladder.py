"""The ladder with real computing: a policy that ruins the model leads upwards by itself."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from app.certificates.tables import Certificate
from app.db import Database
from client import Run
from tests.end_to_end.service import Service, subject

WHO = "customer-0042"
RUINOUS = {"learning_rate": 0.1, "epochs": 2, "steer": False}
pytestmark = pytest.mark.timeout(300)


def runs_of(service: Service, model: str) -> list[Run]:
    """First to last."""
    found = [service.client.get_run(run.id) for run in service.client.list_runs(model=model)]
    return found[::-1]


def test_the_ladder_is_climbed_until_a_rung_can_be_published(digits: Path, tmp_path: Path) -> None:
    with Service(tmp_path / "data") as service:
        model = service.register(digits, recipe=True, settings=RUINOUS)
        request = service.follow(service.client.submit_erasure(subject(WHO)).id, 250)
        assert request.state == "completed"
        runs = runs_of(service, model)
        first, last = runs[0], runs[-1]
        assert [run.state for run in runs] == ["rejected"] * (len(runs) - 1) + ["succeeded"]
        assert [run.rung for run in runs] == list(range(len(runs)))
        assert first.step == "policy" and first.verdict is not None
        assert first.verdict["utility_held"] is False
        assert first.verdict["next"]["reasons"][0].startswith("other_settings: gentler")
        second = runs[1]
        assert (second.step, second.method, second.mode) == ("other_settings", "lotus", "guided")
        assert second.config is not None and second.config["learning_rate"] == 3e-4
        assert last.published_version is not None
        assert last.published_version.number == 1 + len(runs)


def test_a_retrained_model_is_published_on_the_proof_that_no_forget_row_was_read(
    digits: Path, tmp_path: Path
) -> None:
    with Service(tmp_path / "data") as service:
        model = service.register(
            digits,
            recipe=True,
            ladder=["retrain"],
            settings=RUINOUS,
            # No likeness to unseen samples would do, and no accuracy either.
            verification={"delta_auc": 0.001, "delta_band": 0.001, "max_accuracy_fall": 0.0},
        )
        request = service.follow(service.client.submit_erasure(subject(WHO)).id, 250)
        assert (request.state, request.outcome) == ("completed", "unlearned")
        *_, run = runs_of(service, model)
        assert (run.method, run.mode, run.step) == ("retrain", "exact", "retrain")
        assert (run.rung, run.state) == (1, "succeeded")
        assert run.config is not None and run.config["optimizer"] == "adamw"
        assert run.metrics is not None and run.verdict is not None
        proof = run.metrics["exact_retraining"]
        assert proof["forbidden_rows"] == run.metrics["sizes"]["n_f"] == 100
        assert proof["forbidden_rows_served"] == proof["refused_batches"] == 0
        assert proof["distinct_sha256"] == proof["allowed_sha256"]
        assert run.verdict["publish"] is True
        assert "none of these 100 samples was handed out" in run.verdict["sentence"]
        accuracy = run.metrics["accuracy"]["test"]["after"]["value"]
        assert accuracy > 0.9  # it was trained, by the recipe
    database = Database(f"sqlite:///{tmp_path / 'data' / 'lotus.db'}")
    with database.read() as session:
        (payload,) = session.scalars(select(Certificate.payload)).all()
    database.dispose()
    predicate = json.loads(payload)["predicate"]
    claims, limits = " ".join(predicate["claims"]), " ".join(predicate["limits"])
    assert "trained anew, from initial values" in claims
    assert "0 are of the 100 in the forget set" in claims
    assert "approximate" not in limits and "other copies of their content" in limits
    assert [one["method"] for one in predicate["models"][0]["attempts"]][-1] == "retrain"
