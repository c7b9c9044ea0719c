"""A worker that cannot do its work ends at once, and says why."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.db import Database
from app.erasure.worker_tables import Worker, WorkerRole
from tests import servers
from tests.end_to_end.service import ROOT, children, until
from workers.pulse import EXIT_STALLED

ONE_GPU = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa)"

HASTY = [
    *(sys.executable, "-m", "celery", "--app", "tests.fleet.hasty", "--quiet", "worker"),
    *("--pool", "threads", "--queues", "ops", "--concurrency", "2", "--beat"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]


@pytest.fixture
def environment(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """A machine whose driver lists one GPU, and a data folder at the newest tables."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{ONE_GPU}'\n")
    program.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LOTUS_")}
    plain.pop("CUDA_VISIBLE_DEVICES", None)
    made = plain | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "LOTUS_DATA_DIR": str(tmp_path / "data"),
        "LOTUS_BROKER_URL": redis_url,
    }
    subprocess.run(
        lotus("migrate"), env=made, cwd=ROOT, check=True, capture_output=True, timeout=60
    )
    return made


def lotus(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app.cli", *arguments]


def test_a_second_worker_on_a_machine_with_one_gpu_ends_and_names_the_reason(
    environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "first.log"
    with log.open("wb") as out:
        first = subprocess.Popen(
            lotus("worker", "gpu"), env=environment, cwd=ROOT, stdout=out, stderr=out
        )
    try:
        until(lambda: "worker started" in log.read_text() or None, "the first worker")
        second = subprocess.run(
            lotus("worker", "gpu"),
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert "all 1 GPUs of this machine are taken by other workers" in second.stderr
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 0


def test_an_ops_worker_whose_timetable_dies_ends_so_that_another_can_start(
    environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "ops.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(HASTY, env=environment, cwd=ROOT, stdout=out, stderr=out)
    try:
        timetable = until(lambda: next(iter(children(worker.pid, "celery")), None), "beat")
        time.sleep(10)  # twice as long as silence may last
        assert worker.poll() is None, log.read_text()
        os.kill(timetable, signal.SIGKILL)
        assert worker.wait(30) == EXIT_STALLED
        assert "the timetable is silent" in log.read_text()
    finally:
        worker.kill()
        worker.wait()


def test_a_broker_that_is_away_ends_no_ops_worker(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Nothing of the timetable comes then either, for longer than its silence may last."""
    program = shutil.which("redis-server")
    if program is None:
        servers.missing("Redis", "redis-server", "LOTUS_TEST_REDIS_URL")
    port = servers.free_port()
    own = environment | {"LOTUS_BROKER_URL": f"redis://127.0.0.1:{port}/0"}
    log = tmp_path / "ops.log"
    with servers.folder_for("lotus-redis-away-") as folder, ExitStack() as worker_ends:
        with servers.started_redis(program, folder, port):
            with log.open("wb") as out:
                worker = subprocess.Popen(HASTY, env=own, cwd=ROOT, stdout=out, stderr=out)
            worker_ends.callback(worker.wait)
            worker_ends.callback(worker.kill)
            until(lambda: "worker started" in log.read_text() or None, "the worker")
            time.sleep(4)
        time.sleep(15)  # three silences
        assert worker.poll() is None, log.read_text()


def test_the_check_of_a_worker_tells_who_was_heard_of(
    environment: dict[str, str], tmp_path: Path
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'data' / 'lotus.db'}")
    now = datetime.now(UTC)
    here = socket.gethostname()

    def check() -> tuple[int, str]:
        ran = subprocess.run(
            lotus("worker", "check", "gpu"),
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ran.returncode, ran.stderr

    def heard(name: str, role: WorkerRole, ago: timedelta) -> None:
        with database.write() as session:
            session.add(Worker(name=name, role=role, heartbeat_at=now - ago, started_at=now - ago))

    fresh = timedelta(0)
    heard(f"{here}/1", WorkerRole.OPS, fresh)
    heard(f"another-{here}/1", WorkerRole.GPU, fresh)
    code, said = check()
    assert code == 1 and "no gpu worker has started on this host" in said
    heard(f"{here}/2", WorkerRole.GPU, timedelta(days=2, seconds=5))
    code, said = check()
    assert code == 1 and "was heard of for 1728" in said  # seconds, the days among them
    heard(f"{here}/3", WorkerRole.GPU, fresh)
    assert check() == (0, "")
    database.dispose()


def test_the_check_of_a_worker_makes_nothing_in_a_folder_that_holds_nothing(
    tmp_path: Path,
) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LOTUS_")}
    nowhere = tmp_path / "mistyped"
    ran = subprocess.run(
        lotus("worker", "check", "gpu"),
        env=plain | {"LOTUS_DATA_DIR": str(nowhere)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "there is no service data" in ran.stderr
    assert not nowhere.exists()
