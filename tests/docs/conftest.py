"""One service for the commands of all pages, and a folder in which they find what they name."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block
from tests.end_to_end.service import Service

# What the pages call the service, as its callers and their certificate do.
DOMAIN = "erasure.example.org"
# The pages call receivers by names that could be somebody's; this one is nobody's (RFC 2606).
NOBODY = "privacy.invalid"


@dataclass(frozen=True)
class Site:
    service: Service
    folder: Path

    def bash(self, blocks: list[Block], **instead: str) -> str:
        """Carries blocks out one after the other in one shell, and gives the output. `instead` has
        by its name in `_LEFT_TO_THE_READER` what stands there."""
        script = _filled("\n".join(block.text for block in blocks), instead)
        return self.run(["bash", "-eu", "-o", "pipefail", "-c", script])

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOTUS_")}
        return {
            **kept,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LOTUS_URL": self.service.client.base_url,
            "LOTUS_API_KEY": self.service.key,
            "LOTUS_DATA_DIR": str(self.service.data),
        }


_LEFT_TO_THE_READER = {
    "url": "https://lotus.example.org",
    "key": "key_...",
    "webhook": "whk_...",
    "signing_key": "keys/ID.pem",
}


def _filled(script: str, instead: dict[str, str]) -> str:
    for name, value in instead.items():
        assert _LEFT_TO_THE_READER[name] in script
        script = script.replace(_LEFT_TO_THE_READER[name], value)
    for host in ("privacy.example.org", "privacy.example.com"):
        script = script.replace(host, NOBODY)
    return script


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pages")
    with Service(folder / "data", LOTUS_PUBLIC_URL=f"https://{DOMAIN}") as service:
        _make_program(folder / "bin" / "lotus", f'exec "{sys.executable}" -m app.cli "$@"')
        here = rf"${{@//https:\/\/{DOMAIN}/{service.client.base_url}}}"
        _make_program(folder / "bin" / "curl", f'exec "{shutil.which("curl")}" "{here}"')
        yield Site(service, folder)


def _make_program(path: Path, body: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
