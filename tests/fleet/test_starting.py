"""A worker that cannot do its work ends at once, and says why."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.service import ROOT, until

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
