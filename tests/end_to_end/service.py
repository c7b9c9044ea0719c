"""A service in processes of its own, started as a user would, and ended with the test."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from client import Erasure, LotusClient, Subject

ROOT = Path(__file__).resolve().parents[2]
Found = TypeVar("Found")
START_SECONDS = 60.0
END_SECONDS = 20.0


class Service:
    """`lotus serve` on a free port, over a data folder that outlives it."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.log = data.with_name(f"{data.name}.log")
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._key: str | None = None
        self.client: LotusClient

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def database_url(self) -> str:
        return self._settings.get("LOTUS_DATABASE_URL", f"sqlite:///{self.data / 'lotus.db'}")

    @property
    def key(self) -> str:
        assert self._key is not None, "it has not started yet"
        return self._key

    def start(self) -> None:
        if self._key is None:
            if "LOTUS_DATABASE_URL" in self._settings:
                assert self._lotus("migrate").wait(START_SECONDS) == 0, self.log.read_text()
            made = self._lotus("keys", "create", "--name", "test", "--scopes", "all", "--json")
            output, _ = made.communicate(timeout=START_SECONDS)
            self._key = json.loads(output)["key"]
        self._process = self._lotus("serve", "--port", "0", "--json")
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith("}"):
                break
        else:
            raise AssertionError(f"the service did not start: {self.log.read_text()}")
        self.client = LotusClient(json.loads("".join(said))["url"], self._key)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is None:
            return
        self.client.close()
        self._process.send_signal(number)
        self._process.wait(END_SECONDS)
        self._process = None

    def runner(self) -> int:
        """The process that computes the run in progress."""
        loop = self.worker_loop()
        return until(lambda: next(iter(children(loop, "workers.runner")), None), "a runner")

    def worker_loop(self) -> int:
        assert self._process is not None
        parent = self._process.pid
        return until(lambda: next(iter(children(parent, "workers.local")), None), "the loop")

    def register(self, folder: Path, *, recipe: bool = False, **policy: Any) -> str:
        """The id of the example's model, once it and its dataset are ready."""
        about = json.loads((folder / "dataset.json").read_text())
        manifest = self.client.upload_artifact(folder / about.pop("manifest"))
        dataset = self.client.wait_until_ready(
            self.client.register_dataset(artifact=manifest.sha256, **about)
        )
        described = json.loads((folder / "model.json").read_text())
        weights = self.client.upload_artifact(folder / described["weights"])
        model = self.client.wait_until_ready(
            self.client.register_model(
                name="digits",
                dataset=dataset.id,
                architecture=described["architecture"],
                config=described["config"],
                artifact=weights.sha256,
                policy=policy or None,
                training_recipe=described["training_recipe"] if recipe else None,
            )
        )
        return model.id

    def follow(self, request: str, seconds: float = 90.0) -> Erasure:
        """The request once nothing more happens to it."""
        return until(lambda: _settled(self.client.get_request(request)), "the request", seconds)

    def _lotus(self, *arguments: str) -> subprocess.Popen[str]:
        return self._python("app.cli", *arguments)

    def _python(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LOTUS_")}
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env={
                    **environment,
                    "LOTUS_DATA_DIR": str(self.data),
                    "LOTUS_TORCH_THREADS": "1",
                    **self._settings,
                },
            )


def until(look: Callable[[], Found | None], what: str, seconds: float = 60.0) -> Found:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not appear within {seconds:.0f} s")


def subject(value: str) -> list[Subject]:
    return [Subject(value)]


def _settled(request: Erasure) -> Erasure | None:
    return request if request.state in ("completed", "failed", "needs_decision") else None


def children(parent: int, module: str) -> list[int]:
    """Processes that run `python -m module` under `parent`, from /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(status[1]) == parent and module.encode() in command:
            found.append(int(folder.name))
    return found
