"""The program behind `make compose`, where no container engine works or one fails."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.compose.engine import EngineFailure, Runner, at_most

ROOT = Path(__file__).parents[2]
# Writes down what it was asked for. It has nothing to list, and `up` fails.
ENGINE = """#!/bin/sh
echo "$@" >> {calls}
case " $* " in *" up "*) echo "no such image" >&2; exit 1 ;; esac
"""


def check(path: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """With nothing to be found but the system's commands and what is in `path`."""
    found = f"{path}:{os.defpath}"
    return subprocess.run(
        [sys.executable, "-m", "tests.compose"],
        cwd=ROOT,
        env={"PATH": found, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_without_an_engine_the_check_says_what_it_looks_for(tmp_path: Path) -> None:
    for name in ("docker", "podman"):
        program(tmp_path / name, "#!/bin/sh\nexit 1\n")
    result = check(tmp_path, tmp_path)
    assert result.returncode == 1
    assert "neither `docker compose` with a running Docker nor podman-compose" in result.stderr


def test_a_stack_that_does_not_start_is_shown_and_taken_down(tmp_path: Path) -> None:
    calls, folder = tmp_path / "calls", tmp_path / "tmp"
    folder.mkdir()
    program(tmp_path / "docker", ENGINE.format(calls=calls))
    result = check(tmp_path, folder)
    assert result.returncode == 1
    assert "no such image" in result.stderr
    assert "up -d --no-build` ended with code 1" in result.stderr
    asked = [line for line in calls.read_text().splitlines() if line.startswith("compose -p")]
    done = [line.split("docker-compose.yml ")[1] for line in asked]
    assert done == [
        "build api",
        "build gpu-worker",
        "up -d --no-build",
        "down --volumes --remove-orphans",
    ]
    assert list(folder.iterdir()) == []


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    runner = Runner(tmp_path, os.environ, tmp_path / "log")
    mark = tmp_path / "alive"
    command = ["sh", "-c", f"sleep 2; touch {mark}"]
    with pytest.raises(EngineFailure, match="waiting took longer"), at_most(0.3, "waiting"):
        runner.run(command)
    time.sleep(2.2)
    assert not mark.exists()
