"""A worker that cannot do its work ends at once, and says why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.service import ROOT, children, until
from workers.pulse import EXIT_STALLED

ONE_GPU = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa)"


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
    command = [sys.executable, "-m", "celery", "--app", "tests.fleet.hasty", "--quiet", "worker"]
    command += ["--pool", "threads", "--queues", "ops", "--concurrency", "2", "--beat"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with log.open("wb") as out:
        worker = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out)
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
