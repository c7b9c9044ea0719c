"""Docker's compose or podman-compose, whichever runs here, and how commands are run."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

PROBE_SECONDS = 30.0


class EngineFailure(Exception):
    """A command failed, or took longer than it may; the message is all that the user needs."""


@contextmanager
def at_most(seconds: float, what: str) -> Iterator[None]:
    """Raises EngineFailure in the middle of whatever takes longer. Cannot be nested."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise EngineFailure(f"{what} took longer than {seconds / 60:g} minutes")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Engine:
    """`compose` begins every command on the stack, `containers` every one on single containers."""

    compose: tuple[str, ...]
    containers: str

    @property
    def is_docker(self) -> bool:
        return self.containers == "docker"


DOCKER = Engine(("docker", "compose"), "docker")
# In one pod all services would share a network address, unlike with Docker.
PODMAN = Engine(("podman-compose", "--in-pod=false"), "podman")


def find_engine() -> Engine:
    if _works("docker", "compose", "version") and _works("docker", "info"):
        return DOCKER
    if shutil.which("podman-compose") and _works("podman", "info"):
        return PODMAN
    raise EngineFailure(
        "neither `docker compose` with a running Docker nor podman-compose with podman was found"
    )


def _works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, check=False)
        return done.returncode == 0
    return False


@dataclass(frozen=True)
class Runner:
    """Runs commands in the repository; everything that they print goes to the log, too."""

    root: Path
    environment: Mapping[str, str]
    log: Path

    def run(self, command: Sequence[str], *, may_fail: bool = False) -> str:
        """The standard output."""
        with self.log.open("a") as log:
            print(f"$ {' '.join(command)}", file=log, flush=True)
            output, code = self._run(command, log)
            log.write(output)
        if code != 0 and not may_fail:
            raise EngineFailure(f"`{' '.join(command)}` ended with code {code}")
        return output

    def succeeds(self, command: Sequence[str]) -> bool:
        with self.log.open("a") as log:
            return self._run(command, log)[1] == 0

    def _run(self, command: Sequence[str], log: IO[str]) -> tuple[str, int]:
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Ctrl-C is for this program, which then takes the stack down in order.
            start_new_session=True,
        )
        try:
            output, _ = process.communicate()
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return output, process.returncode
