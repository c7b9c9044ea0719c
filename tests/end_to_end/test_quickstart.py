"""The commands of docs/quickstart.md, run as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.service import ROOT, Service
from tests.end_to_end.test_one_request import LENIENT

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
EXAMPLE = "/tmp/digits"
MODEL = '"architecture": "resnet-small",'
# Begin a service, train the example, and decide on a request that waits for it: what the test has
# done already, or what only some runs lead to.
LEFT_OUT = ("make serve", "export LOTUS_URL", "examples/digits/train.py", "/decide")


def commands() -> list[str]:
    """Each block of the page that a shell can run; the page shows answers as JSON."""
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [block for block in blocks if not block.startswith("{")]


def script(digits: Path) -> str:
    run = [block for block in commands() if not any(mark in block for mark in LEFT_OUT)]
    text = "\n".join(run)
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


def test_every_block_is_run_or_left_out_for_a_reason() -> None:
    left_out = [block for block in commands() if any(mark in block for mark in LEFT_OUT)]
    assert len(left_out) == len(LEFT_OUT)
    assert len(commands()) - len(left_out) == 7


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
