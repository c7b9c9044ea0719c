"""The worker of a single machine, in a process of its own that is killed while it sends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.config import Settings
from app.db import Database
from app.main import create_app
from app.runtime import Runtime
from app.webhooks.tables import DeliveryState, WebhookDelivery
from tests.conftest import MakeKey
from tests.databases import service_environment
from tests.webhooks.conftest import HOOKS
from tests.webhooks.receiver import Receiver, receiving, status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plain() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def start(
    database: Database, settings: Settings, tmp_path: Path
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOTUS_")}
    environment = {
        **kept,
        **service_environment(database),
        "PYTHONPATH": str(ROOT),
        "LOTUS_DATA_DIR": str(settings.data_dir),
        "LOTUS_CALLBACKS_HTTP_LOOPBACK": "true",
    }
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        with (tmp_path / "worker.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "workers.local"], env=environment, stderr=log
                )
            )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_message_whose_sender_is_killed_is_sent_again_under_the_same_id(
    settings: Settings,
    runtime: Runtime,
    make_key: MakeKey,
    plain: Receiver,
    start: Callable[[], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    opened = settings.model_copy(update={"callbacks_http_loopback": True})
    with TestClient(create_app(opened), headers={"Authorization": f"Bearer {make_key()}"}) as api:
        made = api.post(HOOKS, json={"url": plain.url("/unmistakable")}).json()
        message = api.post(f"{HOOKS}/{made['id']}/test").json()["id"]
    over = threading.Event()
    plain.answers = [lambda handler: over.wait(60) and status(204)(handler)]
    first = start()
    until(lambda: len(plain.seen) == 1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    over.set()

    def state() -> DeliveryState:
        with runtime.database.read() as session:
            return session.scalars(select(WebhookDelivery.state)).one()

    assert state() is DeliveryState.WAITING
    with runtime.database.write() as session:  # as if the lease were over
        session.execute(update(WebhookDelivery).values(next_attempt_at=datetime.now(UTC)))
    second = start()
    until(lambda: state() is DeliveryState.DELIVERED)
    second.terminate()
    assert second.wait(30) == 0
    assert [seen.headers["webhook-id"] for seen in plain.seen] == [message, message]
    assert plain.seen[0].body == plain.seen[1].body
    log = (tmp_path / "worker.log").read_text()
    assert "worker loop started" in log
    assert "unmistakable" not in log and made["secret"][6:] not in log
