"""The registry as a caller sees it, and what is left behind the caller's back."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select

from app.audit.tables import PendingEntry
from app.registry.tables import Artifact, DatasetShard, Sample, SampleSubject
from app.restore import mark as marks
from app.runtime import Runtime
from tests.registry import content
from workers.registration import process_pending

PROBLEM = "urn:lotus-unlearning:problem:"


@dataclass(frozen=True)
class Front:
    api: TestClient
    runtime: Runtime

    def upload(self, body: bytes) -> str:
        sha256 = content.digest(body)
        answer = self.api.put(f"/api/v1/artifacts/{sha256}", content=body)
        assert answer.status_code in (200, 201), answer.text
        return sha256

    def post_dataset(self, artifact: str, /, **changes: Any) -> Response:
        return self._post(
            "/datasets",
            {
                "name": "customers",
                "task": "tabular_classification",
                "artifact": artifact,
                "class_names": content.CLASS_NAMES,
                "subject_columns": [{"column": "customer"}],
                **changes,
            },
        )

    def post_model(self, dataset: str, artifact: str, /, **changes: Any) -> Response:
        return self._post(
            "/models",
            {
                "name": "scorer",
                "dataset": dataset,
                "architecture": "mlp",
                "config": content.MLP,
                "artifact": artifact,
                **changes,
            },
        )

    def _post(self, path: str, body: dict[str, Any]) -> Response:
        # Escaped, so that a test may send text that is not valid Unicode.
        return self.api.post(
            f"/api/v1{path}",
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )

    def check(self) -> int:
        return process_pending(self.runtime, lambda: datetime.now(UTC))

    def get(self, path: str) -> dict[str, Any]:
        answer = self.api.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def dataset(self, manifest: bytes, **changes: Any) -> dict[str, Any]:
        """Uploads, registers and checks; how it ended."""
        answer = self.post_dataset(self.upload(manifest), **changes)
        assert answer.status_code == 202, answer.text
        self.check()
        return self.get(f"/datasets/{answer.json()['id']}")

    def model(self, weights: bytes, **changes: Any) -> dict[str, Any]:
        """The same for a model of a dataset that is registered along the way."""
        dataset = changes.pop("dataset", None) or self.ready_dataset()
        answer = self.post_model(dataset, self.upload(weights), **changes)
        assert answer.status_code == 202, answer.text
        self.check()
        return self.get(f"/models/{answer.json()['id']}")

    def ready_dataset(self) -> str:
        found = self.dataset(content.parquet(content.feature_columns()))
        assert found["state"] == "ready", found
        identity: str = found["id"]
        return identity

    def audit_kinds(self) -> list[str]:
        with self.runtime.database.read() as session:
            return list(session.scalars(select(PendingEntry.kind).order_by(PendingEntry.id)))

    def rows_left(self) -> int:
        with self.runtime.database.read() as session:
            return sum(
                session.scalar(select(func.count()).select_from(table)) or 0
                for table in (Sample, SampleSubject, DatasetShard)
            )

    def files_left(self) -> list[str]:
        """Every file below the two folders of the store, by name; the log's mark is no artifact."""
        settings = self.runtime.settings
        return [
            path.name
            for folder in (settings.artifact_dir, settings.staging_dir)
            for path in folder.rglob("*")
            if path.is_file() and path.name != marks.NAME
        ]

    def artifact(self, sha256: str) -> Artifact:
        with self.runtime.database.read() as session:
            return session.get_one(Artifact, sha256)
