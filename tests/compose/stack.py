"""The stack of docker-compose.yml under a name of its own, and gone when the block is left."""

import json
import os
import secrets
import signal
import socket
import tempfile
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from tests.compose.engine import Engine, EngineFailure, Runner, at_most

ROOT = Path(__file__).resolve().parents[2]
STORES = ("postgres", "redis")
OURS = ("api", "gpu-worker", "ops-worker")
DOWN_SECONDS = 180.0
# One service of each image: podman-compose would build an image once for each that uses it.
IMAGES = ("api", "gpu-worker")
TAIL_LINES = 15
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What the user's shell says of their own stack must not reach this one.
THEIRS = ("LOTUS_", "POSTGRES_", "REDIS_", "COMPOSE_", "GPU_WORKER_")


class Stack:
    """Secrets are drawn for this stack alone and lie in a folder that goes with it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = f"lotus-check-{secrets.token_hex(3)}"
        self._folder = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        self.folder = Path(self._folder.name)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.folder / "compose.log"
        self._env_file = self.folder / "env"
        self._run = Runner(ROOT, self._environment(), self.log)
        self._signals: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._signals[number] = signal.signal(number, _leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in SIGNALS:  # an impatient second Ctrl-C must not leave half of it behind
            signal.signal(number, signal.SIG_IGN)
        try:
            with at_most(DOWN_SECONDS, "taking the stack down"):
                self._down()
        finally:
            self._folder.cleanup()
            for number, before in self._signals.items():
                signal.signal(number, before)

    def build(self) -> None:
        self._run.run(["make", "--silent", "env", f"ENV_FILE={self._env_file}"])
        for service in IMAGES:
            self._compose("build", service)

    def start(self) -> None:
        """Returns once every service is healthy."""
        if self.engine.is_docker:
            self._compose("up", "-d", "--no-build")
        else:
            self._start_in_turn()
        self._wait_until_healthy((*STORES, *OURS))

    def _start_in_turn(self) -> None:
        """podman-compose cannot start what needs a service that has ended (its issue 683), and not
        every podman waits for health by itself."""
        up = ("up", "-d", "--no-build", "--no-deps")
        self._compose(*up, *STORES)
        self._wait_until_healthy(STORES)
        self._compose(*up, "migrate")
        (migrate,) = self._containers("com.docker.compose.service=migrate")
        if self._run.run([self.engine.containers, "wait", migrate]).strip() != "0":
            raise EngineFailure("migrate failed")
        self._compose(*up, *OURS)

    def make_key(self, scopes: str) -> str:
        made = self._compose(
            *("exec", "-T", "api", "lotus", "keys", "create", "--name", "check"),
            *("--scopes", scopes, "--json"),
        )
        return str(json.loads(made)["key"])

    def tails(self) -> str:
        """The last lines of every container's log, and of what compose itself printed."""
        said = self.log.read_text("utf-8", errors="replace") if self.log.exists() else ""
        parts = []
        for container in self._containers():
            name = self._inspect(container, "{{.Name}}").lstrip("/")
            state = self._inspect(container, "{{.State.Status}} {{.State.ExitCode}}")
            parts.append(f"-- {name} ({state})")
            # Some engines print a container's errors to their own.
            command = f"{self.engine.containers} logs --tail {TAIL_LINES} {container} 2>&1"
            parts.append(self._run.run(["sh", "-c", command], may_fail=True).rstrip())
        parts += [f"-- {self.engine.compose[0]}", *said.splitlines()[-TAIL_LINES:]]
        return "\n".join(parts)

    def _wait_until_healthy(self, services: tuple[str, ...]) -> None:
        waiting = list(services)
        while True:
            waiting = [service for service in waiting if not self._healthy(service)]
            if not waiting:
                return
            time.sleep(1.0)

    def _healthy(self, service: str) -> bool:
        containers = self._containers(f"com.docker.compose.service={service}")
        if not containers:
            return False
        if self.engine.is_docker:
            status = "{{.State.Health.Status}}"
            return all(self._inspect(one, status) == "healthy" for one in containers)
        check = ["podman", "healthcheck", "run"]
        return all(self._run.succeeds([*check, one]) for one in containers)

    def _down(self) -> None:
        if self._env_file.exists():
            self._compose("down", "--volumes", "--remove-orphans", may_fail=True)
        left = [*self._containers(), *self._volumes()]
        if left:
            raise EngineFailure(f"not removed: {' '.join(left)}")

    def _containers(self, *labels: str) -> list[str]:
        wanted = [f"com.docker.compose.project={self.name}", *labels]
        filters = [part for label in wanted for part in ("--filter", f"label={label}")]
        listed = [self.engine.containers, "ps", "--all", "--quiet", *filters]
        return self._run.run(listed).split()

    def _volumes(self) -> list[str]:
        label = f"label=com.docker.compose.project={self.name}"
        listed = [self.engine.containers, "volume", "ls", "--quiet", "--filter", label]
        return self._run.run(listed).split()

    def _inspect(self, container: str, form: str) -> str:
        command = [self.engine.containers, "inspect", "--type=container", f"--format={form}"]
        return self._run.run([*command, container], may_fail=True).strip()

    def _compose(self, *arguments: str, may_fail: bool = False) -> str:
        start = [*self.engine.compose, "-p", self.name, "--env-file", str(self._env_file)]
        start += ["-f", str(ROOT / "docker-compose.yml")]
        return self._run.run([*start, *arguments], may_fail=may_fail)

    def _environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(THEIRS)}
        return {
            **kept,
            "LOTUS_TAG": "check",
            "LOTUS_PUBLISH": f"127.0.0.1:{self.port}",
            "LOTUS_COALESCE_SECONDS": "0",
        }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
