"""The page for auditors: its program, its tables and its vectors."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.certificates import verify
from app.certificates.other_ends import CAUSES
from app.erasure.states import Reopening
from app.erasure.transitions import Event
from tests.architecture.test_docs import DOCS, table_rows
from tests.docs.pages import ROOT, runnable

PAGE = (DOCS / "verifying.md").read_text()
PROGRAM = runnable("docs/verifying.md", "python")[0].text
VECTORS = DOCS / "vectors"
BUNDLES = json.loads((VECTORS / "manifest.json").read_bytes())["bundles"]
# What a program that does not know the statement's fields can still see.
SEEN = {
    "flaw-statement-with-spaces.json",
    "flaw-statement-with-duplicate.json",
    "flaw-statement-with-nan.json",
    "flaw-statement-with-overflow.json",
    "flaw-statement-with-other-number.json",
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_program_on_the_page_is_short_and_shares_nothing_with_the_project() -> None:
    assert len(PROGRAM.splitlines()) < 80
    imported = re.findall(r"^(?:import|from) (\w+)", PROGRAM, re.MULTILINE)
    assert set(imported) == {"base64", "hashlib", "json", "sys", "cryptography"}


def test_the_program_accepts_the_good_vectors_and_stops_at_the_others(tmp_path: Path) -> None:
    """In one process: the program runs once for each bundle, as its reader would start it."""
    (tmp_path / "check.py").write_text(PROGRAM)
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import json, runpy, sys\n"
        "key, *bundles = sys.argv[1:]\n"
        "codes = {}\n"
        "for bundle in bundles:\n"
        "    sys.argv = ['check.py', bundle, key]\n"
        "    try:\n"
        "        runpy.run_path('check.py', run_name='__main__')\n"
        "        codes[bundle] = 'accepted'\n"
        "    except SystemExit as end:\n"
        "        codes[bundle] = str(end.code)\n"
        "print(json.dumps(codes))\n"
    )
    files = [str(VECTORS / one["file"]) for one in BUNDLES]
    done = subprocess.run(
        [sys.executable, "-I", str(driver), str(VECTORS / "public.pem"), *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    for one in BUNDLES:
        answer = said[str(VECTORS / one["file"])]
        if one["accepted"]:
            assert answer == "accepted", (one["file"], answer)
        elif one["check"] not in ("statement", "facts") or one["file"] in SEEN:
            assert answer.startswith("NOT ACCEPTED: "), one["file"]
            assert "list index out of range" not in answer


def test_the_program_exits_with_1_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(PROGRAM)
    done = subprocess.run(
        [
            sys.executable,
            "check.py",
            str(VECTORS / "flaw-flipped-figure.json"),
            str(VECTORS / "public.pem"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("NOT ACCEPTED: ") and "Traceback" not in done.stderr


def test_the_commands_of_the_page_accept_a_certificate_and_stop_at_a_changed_one(
    tmp_path: Path,
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("python", ""), ("lotus", "-m app.cli")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        program.chmod(0o755)
    shutil.copy(ROOT / "app" / "certificates" / "verify.py", tmp_path)
    shutil.copy(VECTORS / "public.pem", tmp_path)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    blocks = runnable("docs/verifying.md", "bash")
    assert len(blocks) == 2
    for block in blocks:
        for name, code in (("good-unlearned.json", 0), ("flaw-flipped-figure.json", 1)):
            shutil.copy(VECTORS / name, tmp_path / "bundle.json")
            done = subprocess.run(
                ["bash", "-c", block.text],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == code, (block.text, done.stdout, done.stderr)


def test_the_page_explains_each_check_and_each_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    explained = [row[0] for row in table_rows(section("Check them")) if len(row) == 2]
    stopped = {one["check"] for one in BUNDLES if one["check"]}
    assert stopped <= set(explained)
    outcomes = [row[0] for row in table_rows(section("What a certificate says"))[1:]]
    assert outcomes == list(verify._PREDICATES)


def test_the_page_names_every_option_of_the_verifier(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        verify.main(["--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    assert options == {name for name in re.findall(r"`(--[a-z]+)", section("Check them"))}


def test_the_codes_for_opening_a_case_again_are_the_same_everywhere() -> None:
    page = (DOCS / "rechecks.md").read_text().split("\n## Why a case is opened again\n")[1]
    explained = {row[0] for row in table_rows(page.split("\n## ")[0])[1:]}
    assert explained == set(CAUSES) == {*Reopening, Event.MODEL_ADDED}
    assert explained <= set(Event)
