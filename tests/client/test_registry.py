"""Uploads and downloads are streamed and bound to a SHA-256; registration is waited for."""

import hashlib
import json
from pathlib import Path

import httpx2
import pytest

from client import DigestMismatch, LotusProblem, RegistrationInvalid, files
from tests.client.service import PROBLEM, answering

CONTENT = bytes(range(256)) * 20
DIGEST = hashlib.sha256(CONTENT).hexdigest()
DATASET = {
    "id": "dst_1",
    "name": "digits",
    "task": "image_classification",
    "state": "checking",
    "created_at": "2026-01-31T12:00:00Z",
}
VERSION = {"id": "ver_2", "number": 2, "sha256": DIGEST, "state": "checking"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.parquet"
    path.write_bytes(CONTENT)
    return path


def test_an_upload_goes_to_its_own_digest_with_its_length(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 2048)
    stored = {"sha256": DIGEST, "size": 5120, "media_type": "x/y", "state": "staged"}
    lotus, seen = answering(httpx2.Response(201, json=stored))
    steps: list[tuple[int, int]] = []
    lotus.upload_artifact(manifest, progress=lambda done, total: steps.append((done, total)))
    assert seen[0].url.path == f"/api/v1/artifacts/{DIGEST}"
    assert seen[0].content == CONTENT
    assert seen[0].headers["content-length"] == "5120"
    assert "transfer-encoding" not in seen[0].headers
    assert steps == [(2048, 5120), (4096, 5120), (5120, 5120)]


def test_a_refused_upload_raises_the_service_s_problem(manifest: Path) -> None:
    lotus, _ = answering(httpx2.Response(413, json={**PROBLEM, "status": 413}))
    with pytest.raises(LotusProblem):
        lotus.upload_artifact(manifest)


def test_waiting_ends_when_the_dataset_is_ready() -> None:
    ready = {**DATASET, "state": "ready", "split_counts": {"train": 500}}
    lotus, seen = answering(
        httpx2.Response(202, json=DATASET),
        httpx2.Response(200, json=DATASET),
        httpx2.Response(200, json=ready),
    )
    made = lotus.register_dataset(
        name="digits",
        task="image_classification",
        artifact=DIGEST,
        class_names=["a", "b"],
        subject_columns=[{"column": "customer_id"}],
    )
    assert lotus.wait_until_ready(made, interval=0).split_counts == {"train": 500}
    assert [request.url.path for request in seen] == [
        "/api/v1/datasets",
        "/api/v1/datasets/dst_1",
        "/api/v1/datasets/dst_1",
    ]


def test_an_invalid_dataset_raises_the_problem_that_the_worker_found() -> None:
    fault = [{"field": "row 17", "message": "the label is not one of the classes"}]
    invalid = {**DATASET, "state": "invalid", "problem": {**PROBLEM, "errors": fault}}
    lotus, _ = answering(httpx2.Response(200, json=DATASET), httpx2.Response(200, json=invalid))
    with pytest.raises(RegistrationInvalid) as caught:
        lotus.wait_until_ready(lotus.get_dataset("dst_1"), interval=0)
    assert [one.field for one in caught.value.errors] == ["row 17"]


def test_a_version_is_waited_for_under_its_model() -> None:
    active = {**VERSION, "state": "active"}
    lotus, seen = answering(httpx2.Response(202, json=VERSION), httpx2.Response(200, json=active))
    made = lotus.add_version("mdl_1", DIGEST)
    assert lotus.wait_until_ready(made, model="mdl_1", interval=0).state == "active"
    assert seen[1].url.path == "/api/v1/models/mdl_1/versions/2"


def test_settings_that_were_not_given_are_left_to_the_service() -> None:
    model = {**DATASET, "id": "mdl_1", "dataset": "dst_1", "architecture": "mlp"}
    lotus, seen = answering(httpx2.Response(202, json=model))
    lotus.register_model(
        name="m", dataset="dst_1", architecture="mlp", config={"num_classes": 2}, artifact=DIGEST
    )
    assert set(json.loads(seen[0].content)) == {
        "name",
        "dataset",
        "architecture",
        "config",
        "artifact",
    }


def test_downloaded_weights_have_the_digest_of_the_answer_s_etag(tmp_path: Path) -> None:
    lotus, _ = answering(httpx2.Response(200, content=CONTENT, headers={"ETag": f'"{DIGEST}"'}))
    target = tmp_path / "weights.safetensors"
    assert lotus.download_current_weights("mdl_1", target) == DIGEST
    assert target.read_bytes() == CONTENT


def test_other_bytes_than_expected_leave_no_file_behind(tmp_path: Path) -> None:
    lotus, _ = answering(httpx2.Response(200, content=CONTENT[:-1]))
    with pytest.raises(DigestMismatch):
        lotus.download_current_weights("mdl_1", tmp_path / "weights", expected=DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_download_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "weights"
    target.write_bytes(b"old")
    lotus, _ = answering(httpx2.Response(409, json={**PROBLEM, "status": 409}))
    with pytest.raises(LotusProblem):
        lotus.download_current_weights("mdl_1", target)
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
