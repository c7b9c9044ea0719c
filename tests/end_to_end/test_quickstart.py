"""The commands of docs/quickstart.md, run as they stand there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import runnable
from tests.end_to_end.service import ROOT, Service
from tests.end_to_end.test_one_request import LENIENT

EXAMPLE = "/tmp/digits"
MODEL = '"architecture": "resnet-small",'


def script(digits: Path) -> str:
    text = "\n".join(block.text for block in runnable("docs/quickstart.md", "bash"))
    assert EXAMPLE in text and MODEL in text
    # The default margins reject a run now and then, rightly; what follows a publication is tried.
    policy = json.dumps({"verification": LENIENT})
    return text.replace(EXAMPLE, str(digits)).replace(MODEL, f'{MODEL} "policy": {policy},')


def checkout(folder: Path) -> None:
    """What the commands find in the folder of a checkout after `make serve`."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, module in (("python", ""), ("lotus", "-m app.cli")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        program.chmod(0o755)
    (folder / "examples").symlink_to(ROOT / "examples")


@pytest.mark.timeout(600)
@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("jq"), reason="needs curl and jq")
def test_the_commands_of_the_quickstart_lead_to_a_certificate_that_is_accepted(
    digits: Path, tmp_path: Path
) -> None:
    checkout(tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOTUS_")}
    with Service(tmp_path / "data") as service:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script(digits)],
            cwd=tmp_path,
            env={
                **kept,
                "PYTHONPATH": str(ROOT),
                "LOTUS_URL": service.client.base_url,
                "LOTUS_API_KEY": service.key,
            },
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"outcome": "unlearned"' in done.stdout
    assert '"number": 2' in done.stdout
    assert "certificates:certificate:written" in done.stdout
    assert "entries" in done.stdout and "inclusion" in done.stdout
    assert (tmp_path / "public.pem").read_text().startswith("-----BEGIN PUBLIC KEY-----")
