"""A fleet on one machine: PostgreSQL, Redis, the API and Celery workers, every one a process that a
test may end, kill and start again."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from sqlalchemy import Engine, create_engine

from client import LotusClient
from tests import servers
from tests.end_to_end.service import ROOT, children
from tests.fleet.disk import Disk

START_SECONDS = 90.0
STOP_SECONDS = 30.0
DURABLE = {"max_connections": "200"}


class Server:
    """PostgreSQL or Redis, which starts again over what it kept."""

    def __init__(self, run: Callable[[], AbstractContextManager[str]]) -> None:
        self._run, self._open = run, ExitStack()
        self.url = ""

    def start(self) -> None:
        self.url = self._open.enter_context(self._run())

    def stop(self) -> None:
        self._open.close()

    def restart(self) -> None:
        self.stop()
        self.start()


class Program:
    """One of our own processes; its log grows over all its lives."""

    def __init__(
        self, name: str, command: list[str], log: Path, environment: dict[str, str]
    ) -> None:
        self.name, self.log = name, log
        self._command, self._environment = command, environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                **servers.on_parents_end(signal.SIGKILL),
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def runner(self) -> int | None:
        """The process that computes this worker's run."""
        return next(iter(children(self.pid, "workers.runner")), None) if self.runs else None


class Fleet:
    """`with Fleet(folder) as fleet:` starts everything; `fleet.client` has every scope."""

    def __init__(
        self,
        folder: Path,
        *,
        gpus: int = 1,
        small_disk: bool = False,
        gpu_worker: Sequence[str] = ("app.cli", "worker", "gpu"),
        **settings: str,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._open = ExitStack()
        self._small_disk = small_disk
        self._settings, self._gpu_worker = settings, list(gpu_worker)
        self._port = servers.free_port()
        self.gpu_count = gpus
        self.client: LotusClient
        self.programs: dict[str, Program] = {}
        self.postgresql: Server
        self.redis: Server
        self.engine: Engine

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def api(self) -> Program:
        return self.programs["api"]

    @property
    def ops(self) -> Program:
        return self.programs["ops"]

    @property
    def gpus(self) -> list[Program]:
        return [one for name, one in self.programs.items() if name.startswith("gpu")]

    @property
    def environment(self) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("LOTUS_")}
        key = base64.b64encode(bytes(32)).decode()
        return plain | {
            "LOTUS_DATA_DIR": str(self.data),
            "LOTUS_DATABASE_URL": self.postgresql.url,
            "LOTUS_BROKER_URL": self.redis.url,
            "LOTUS_SECRET_KEY": key,
            "LOTUS_PSEUDONYM_KEY": f"k1:{key}",
            "LOTUS_SUPPRESSION_KEY": key,
            "LOTUS_TORCH_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "LOTUS_DEVICE": "cpu",
            **self._settings,
        }

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if httpx2.get(f"{self.client.base_url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"the API is not ready:\n{tail(self.api.log)}")

    def lotus(self, *arguments: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def logs(self) -> str:
        return "".join(program.log.read_text() for program in self.programs.values())

    def _start(self) -> None:
        self.data.mkdir(parents=True)
        self.disk = Disk(self.data, small=self._small_disk)
        self._open.callback(self.disk.close)
        self.postgresql = self._server(_postgresql(self._open))
        self.redis = self._server(_redis(self._open))
        self.lotus("migrate")
        made = self.lotus("keys", "create", "--name", "test", "--scopes", "all", "--json")
        self.client = LotusClient(f"http://127.0.0.1:{self._port}", json.loads(made)["key"])
        self._open.callback(self.client.close)
        self.engine = create_engine(self.postgresql.url, pool_pre_ping=True)
        self._open.callback(self.engine.dispose)
        self._program("api", ["app.cli", "serve", "--port", str(self._port)])
        self._program("ops", ["app.cli", "worker", "ops"])
        for number in range(self.gpu_count):
            self._program(f"gpu-{number}", self._gpu_worker)
        self.wait_until_ready()

    def _server(self, run: Callable[[], AbstractContextManager[str]]) -> Server:
        server = Server(run)
        server.start()
        self._open.callback(server.stop)
        return server

    def _program(self, name: str, command: list[str]) -> None:
        program = Program(name, command, self.folder / f"{name}.log", self.environment)
        self.programs[name] = program
        program.start()
        self._open.callback(program.stop)


def _postgresql(open_: ExitStack) -> Callable[[], AbstractContextManager[str]]:
    programs = servers.postgresql_programs()
    if programs is None:
        servers.missing("PostgreSQL", "postgresql", "LOTUS_TEST_DATABASE_URL")
    folder = open_.enter_context(servers.folder_for("lotus-fleet-pg-"))
    servers.create_cluster(programs, folder)
    # Ended as by a crash; a commit is on the disk before it is confirmed, as in operation.
    return lambda: servers.running_cluster(programs, folder, DURABLE, end=signal.SIGQUIT)


def _redis(open_: ExitStack) -> Callable[[], AbstractContextManager[str]]:
    program = shutil.which("redis-server")
    if program is None:
        servers.missing("Redis", "redis-server", "LOTUS_TEST_REDIS_URL")
    folder = open_.enter_context(servers.folder_for("lotus-fleet-redis-"))
    port = servers.free_port()

    @contextmanager
    def run() -> Iterator[str]:
        with servers.started_redis(program, folder, port) as url:
            yield url

    return run


def tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text().splitlines()[-lines:])


def register(client: LotusClient, folder: Path, name: str, **policy: Any) -> str:
    """The id of the model that `folder` describes, once it and its dataset are ready."""
    about = json.loads((folder / "dataset.json").read_text())
    about["name"] = name
    manifest = client.upload_artifact(folder / about.pop("manifest"))
    dataset = client.wait_until_ready(client.register_dataset(artifact=manifest.sha256, **about))
    described = json.loads((folder / "model.json").read_text())
    weights = client.upload_artifact(folder / described["weights"])
    model = client.wait_until_ready(
        client.register_model(
            name=name,
            dataset=dataset.id,
            architecture=described["architecture"],
            config=described["config"],
            artifact=weights.sha256,
            policy=policy or None,
        )
    )
    return model.id
