"""Completed cases on later versions of a real model, with real processes."""

import os
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from sqlalchemy import select

from app.config import Settings
from app.erasure import leases
from app.erasure.locks import Fence
from app.erasure.publishing import Judged, Weights, publish
from app.erasure.states import RunState
from app.erasure.tables import ErasureItem, ItemSample, RunItem
from app.registry.tables import Model, ModelVersion, SampleSplit, VersionState
from app.runtime import Runtime
from client import Recheck
from tests.end_to_end.service import Service, children, subject, until
from tests.erasure.working import LEASE, REPORT, Hand
from workers import loading
from workers.loading import Source

WHO = "customer-0042"
LENIENT = {"delta_auc": 0.3, "delta_band": 0.6, "max_accuracy_fall": 0.1}
pytestmark = pytest.mark.timeout(900)


def others(digits: Path) -> list[str]:
    """Customers with the most training rows, but for the one who wrote a hundred."""
    rows = pq.read_table(digits / "manifest.parquet").to_pylist()
    owners = Counter(row["customer_id"] for row in rows if row["split"] == "train")
    del owners[WHO]
    return [name for name, _ in owners.most_common(2)]


def recheck_of(service: Service, model: str, version: int) -> Recheck:
    """The re-check on this version, once it has ended."""

    def look() -> Recheck | None:
        for one in service.client.list_rechecks(model):
            if one.version.number == version and one.finished_at is not None:
                return service.client.get_recheck(one.id)
        return None

    return until(look, f"a re-check of version {version}", 200)


def relapsed_samples(recheck: Recheck) -> int:
    return sum(one["samples"] for one in recheck.cases if one["relapsed"])


class Planter:
    """A worker whose run publishes weights that were trained on somebody's rows again."""

    def __init__(self, service: Service) -> None:
        self.runtime = Runtime.open(Settings(data_dir=service.data))
        self.now = datetime.now(UTC) + timedelta(seconds=1)

    def plant(self, victim: str) -> None:
        hand = Hand.hire(self.runtime, self.now)
        fence = self._claim(hand)
        sha256 = self.runtime.artifacts.put(self._trained_again(victim))
        for state in (RunState.VERIFYING, RunState.PUBLISHING):
            hand.move(fence, state, self.now)
        self._publish(fence, sha256)
        self.runtime.close()

    def _claim(self, hand: Hand) -> Fence:
        """Now, although its items would still wait for company."""
        with self.runtime.database.write() as session:
            model = session.scalars(select(Model.id)).one()
            claim = leases.claim(
                session, self.runtime.keyring, hand.worker, model, lease=LEASE, now=self.now
            )
        assert claim is not None
        return claim.fence

    def _trained_again(self, victim: str) -> bytes:
        with self.runtime.database.read() as session:
            model = session.scalars(select(Model)).one()
            current = session.scalars(
                select(ModelVersion).where(ModelVersion.state == VersionState.ACTIVE)
            ).one()
            samples = session.scalars(
                select(ItemSample.sample_id)
                .join(ErasureItem, ErasureItem.id == ItemSample.item_id)
                .where(ErasureItem.id == _uuid(victim))
            ).all()
        network = loading.load_model(
            self.runtime.artifacts,
            model.architecture,
            model.architecture_config,
            current.artifact_sha256,
        )
        source, view = Source(self.runtime, model.dataset_id), loading.view(model.normalization)
        rows = source.rows(samples).labelled
        kept = source.split(SampleSplit.TRAIN, samples).labelled
        inputs = view.plain(torch.cat([rows.inputs, rows.inputs, kept.inputs]))
        labels = torch.cat([rows.labels, rows.labels, kept.labels])
        torch.manual_seed(0)
        optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-3)
        for _ in range(30):
            for part in torch.split(torch.randperm(len(labels)), 64):
                optimizer.zero_grad(set_to_none=True)
                F.cross_entropy(network(inputs[part]), labels[part]).backward()
                optimizer.step()
        return bytes(safetensors.torch.save(dict(network.state_dict())))

    def _publish(self, fence: Fence, sha256: str) -> None:
        with self.runtime.database.write() as session:
            items = session.scalars(
                select(RunItem.item_id).where(RunItem.run_id == fence.run_id)
            ).all()
            detail: dict[str, Any] = {
                "name": "insufficient_data",
                "sentence": "Stated by a test.",
                "outcome": "unlearned_not_testable",
                "policy": {"delta_auc": 0.1},
            }
            judged = Judged(
                REPORT, "insufficient_data", detail, {item: {"samples": 1} for item in items}
            )
            state = publish(
                session,
                self.runtime.keyring,
                fence,
                Weights(sha256, self.runtime.artifacts.size(sha256)),
                judged,
                actor="service",
                now=self.now,
            )
        assert state is RunState.SUCCEEDED


def _uuid(identity: str) -> UUID:
    return UUID(hex=identity[-32:])


def test_a_clean_version_raises_no_alarm_and_one_that_knows_a_person_again_reopens_the_case(
    digits: Path, tmp_path: Path
) -> None:
    second, third = others(digits)
    with Service(tmp_path / "data") as service:
        model = service.register(digits, verification=LENIENT)
        case = service.follow(service.client.submit_erasure(subject(WHO)).id, 250)
        assert case.state == "completed"

        # Another person's run: the first case holds.
        other = service.follow(service.client.submit_erasure(subject(second)).id, 250)
        assert other.state == "completed"
        held = recheck_of(service, model, 3)
        assert (held.state, held.case_count, held.relapsed_count) == ("done", 1, 0)
        assert held.pooled is not None and held.pooled["alarm"] is False
        assert (held.pooled["samples"], held.cases[0]["request"]) == (100, case.id)
        assert service.client.get_request(case.id).state == "completed"

        # A third run publishes what was trained on the first person's rows again. The re-check is
        # killed in the middle and taken up once more.
        waits = {"verification": LENIENT, "coalesce_seconds": 86_400.0}
        service.client.set_policy(model, waits)
        planted = service.client.submit_erasure(subject(third))
        service.stop()
        Planter(service).plant(case.items[0].id)
        service.start()
        loop = service.worker_loop()
        process = until(lambda: next(iter(children(loop, "workers.recheck")), None), "a re-check")
        os.kill(process, signal.SIGKILL)
        found = recheck_of(service, model, 4)
        assert (found.state, found.attempt) == ("done", 2)
        assert found.pooled is not None and found.pooled["alarm"] is True
        relapsed = {one["request"]: one["relapsed"] for one in found.cases}
        # Training on one person's rows may teach the network those of another as well, which hangs
        # on how a processor rounds: that one is reopened too then, and nobody else.
        assert set(relapsed) == {case.id, other.id} and relapsed[case.id]
        assert found.relapsed_count == sum(relapsed.values())

        reopened = service.client.get_request(case.id)
        assert (reopened.state, reopened.reopened_for) == ("scheduled", "relapsed")
        assert reopened.items[0].relapses == 1
        untouched = [planted.id] if relapsed[other.id] else [planted.id, other.id]
        for one in untouched:
            assert service.client.get_request(one).state == "completed"
        kinds = [entry.kind for entry in service.client.audit_entries(request=case.id)]
        assert "erasure:case:relapsed" in kinds

        service.client.set_policy(model, {"verification": LENIENT})
        again = service.follow(case.id, 250)
        assert again.state == "completed"
        run = service.client.get_run(again.items[0].run or "")
        assert (run.base_number, run.published_version and run.published_version.number) == (4, 5)
        assert run.metrics is not None
        assert relapsed_samples(found) >= 100
        assert run.metrics["sizes"]["n_f"] == relapsed_samples(found)
        after = recheck_of(service, model, 5)
        assert after.relapsed_count == 0
        assert again.certificate is not None and again.certificate.replaces is not None
