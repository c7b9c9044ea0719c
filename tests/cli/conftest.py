"""Running `lotus` as a user does, in this process or in one of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli import main

ROOT = Path(__file__).parents[2]
Environment = dict[str, str]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An environment with a data folder of its own and no other setting."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOTUS_")}
    return {**kept, "PYTHONPATH": str(ROOT), "LOTUS_DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def lotus(environment: Environment, tmp_path: Path) -> Callable[..., Result]:
    """`lotus("keys", "create", ...)` in a process of its own."""

    def run(*arguments: str, **settings: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env={**environment, **settings},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def lotus_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """The same in this process, for commands whose service a test replaces."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["lotus", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run


class Served:
    """A running `lotus serve --json` and what it said at its start."""

    def __init__(self, environment: Environment, folder: Path, log: Path, *options: str) -> None:
        self.log = log
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--json", *options],
                env=environment,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        self.said: dict[str, Any] = json.loads("".join(lines))

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@pytest.fixture
def serve(environment: Environment, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*options: str, **settings: str) -> Served:
        started.append(
            Served({**environment, **settings}, tmp_path, tmp_path / "serve.log", *options)
        )
        return started[-1]

    yield start
    for served in started:
        served.end()
