"""The verifier as its user meets it: a copied file, files of all kinds, and an exit code."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.certificates import model_erasure, statement, verify
from app.certificates.statement import AnyCase
from app.certificates.verify import Flaw, main
from app.erasure.deadlines import LAWS, due_at
from tests.certificates.facts import (
    PAGE,
    TIMES,
    at,
    attempt,
    model,
    no_match,
    refused,
    reopened,
    unlearned,
    uuid,
)
from tests.certificates.sealed import OURS, THEIRS, numbered, payload_of, sealed
from tests.certificates.vectors import FOLDER

GOOD = FOLDER / "good-unlearned.json"
KEY = FOLDER / "public.pem"
OTHER = FOLDER / "other-public.pem"
EXTENDED = due_at(at(1), LAWS["gdpr"], extended=True)
Says = pytest.CaptureFixture[str]


def test_a_copy_of_the_file_works_alone_outside_the_project(tmp_path: Path) -> None:
    copied = tmp_path / "verify.py"
    shutil.copy(verify.__file__, copied)

    def run(bundle: Path, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(copied), str(bundle), "--key", str(KEY), *more],
            cwd=tmp_path,
            env={},
            capture_output=True,
            text=True,
            check=False,
        )

    good = run(GOOD)
    assert (good.returncode, good.stderr) == (0, "")
    assert "outcome      unlearned" in good.stdout
    assert "without a formal guarantee" in good.stdout
    bad = run(FOLDER / "flaw-flipped-figure.json")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert "FLAW  envelope: the signature is not of this content" in bad.stdout
    assert json.loads(run(GOOD, "--json").stdout)["ok"] is True


def test_every_check_is_printed_and_after_it_what_was_found(capsys: Says) -> None:
    assert main([str(GOOD), "--key", str(KEY)]) == 0
    said = capsys.readouterr().out
    checks = [line.split()[1] for line in said.splitlines() if line.startswith("ok ")]
    assert checks == [
        "bundle:",
        "envelope:",
        "statement:",
        "facts:",
        "entry:",
        "proof:",
        "checkpoint:",
        "inclusion:",
    ]
    for needed in (
        "req_0195a000000070008000000000000002",
        "crt_0195a000000070008000000000000064",
        f'"digits", SHA-256 {"b" * 64}',
        "submitted    2026-03-01T12:00:00.000000Z",
        "received     2026-03-01T13:00:00.000000Z",
        "due          2026-04-01T23:59:59.000000Z",
        "completed    2026-03-02T12:00:00.000000Z",
        "verdict      within_margin, on the whole run",
        "band advantage 0.440 before, 0.050 after, one-sided 95 % upper bound 0.120",
        "accuracy on unseen data (700 samples) 0.976 before, 0.972 after, change -0.004",
        "learned attack: AUC 0.700 before, 0.520 after, p 0.300",
        "accuracy on the forget samples 1.000 before, 0.990 after",
        "own part     2 of the run's 100 samples; 1 more held out; mean percentile 0.710 before",
        "recipients   not known",
        f"to destroy   2026-03-09T12:00:00.000000Z: a file of earlier weights, SHA-256 {'a' * 64}",
        "attack AUC 0.659 before, 0.512 after, 90 % interval 0.460 to 0.560",
        "No attack tried told these 100 samples from unseen ones by more than the margins",
        "They do not show that what it says is true",
    ):
        assert needed in said, needed


def printed(case: AnyCase, folder: Path, capsys: Says) -> str:
    case = numbered(case, uuid(50))
    bundle = folder / "bundle.json"
    bundle.write_bytes(sealed(payload_of(case), case))
    assert main([str(bundle), "--key", str(KEY)]) == 0
    return capsys.readouterr().out


def test_a_verdict_without_figures_is_printed_all_the_same(tmp_path: Path, capsys: Says) -> None:
    alone = attempt(first_page=None, verdict="no_valid_reference")
    said = printed(
        unlearned(
            model(attempts=(alone,), verdict="no_valid_reference", recipient_count=3, report={})
        ),
        tmp_path,
        capsys,
    )
    assert "verdict      no_valid_reference, on the whole run" in said
    assert "measured     no figures" in said
    assert "recipients   3 (had pulled weights that were trained on the person's samples)" in said


def test_a_figure_that_was_not_computed_is_said_to_be_so(tmp_path: Path, capsys: Says) -> None:
    page = PAGE.model_copy(update=dict.fromkeys(("band_before", "band_after", "band_upper")))
    own = model().own.model_copy(update={"figures": None})
    said = printed(
        unlearned(model(attempts=(attempt(first_page=page),), own=own)), tmp_path, capsys
    )
    assert "band advantage not computed before, not computed after" in said
    assert (
        "own part     2 of the run's 100 samples; 1 more held out; no figures of their own" in said
    )


def test_the_end_of_each_case_is_printed_with_its_time(tmp_path: Path, capsys: Says) -> None:
    for case, needed in (
        (no_match(), "searched     2026-03-01T13:00:00.000000Z"),
        (refused(), "refused      2026-03-04T12:00:00.000000Z"),
        (refused(), "completed    not completed"),
        (refused(), "destroyed    nothing is stated as destroyed, or as planned to be"),
        (
            reopened(),
            "completed    2026-03-02T12:00:00.000000Z as unlearned; no longer since "
            "2026-03-05T12:00:00.000000Z, cause rolled_back",
        ),
        (
            unlearned(times=TIMES.model_copy(update={"extended_due": EXTENDED})),
            "due          2026-04-01T23:59:59.000000Z, extended to 2026-06-01T23:59:59.000000Z",
        ),
    ):
        assert needed in printed(case, tmp_path, capsys)
    closed = (FOLDER / "good-closed.json").read_bytes()
    (tmp_path / "closed.json").write_bytes(closed)
    assert main([str(tmp_path / "closed.json"), "--key", str(KEY)]) == 0
    said = capsys.readouterr().out
    assert "destroyed    2026-03-09T12:00:00.000000Z: what links the person to samples, 3" in said
    assert "to destroy" not in said


def test_a_flaw_is_told_after_the_checks_that_held(capsys: Says) -> None:
    assert main([str(FOLDER / "flaw-other-tree.json"), "--key", str(KEY), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["failed"]) == (False, "inclusion")
    assert [check for check, _ in said["checks"]][-1] == "checkpoint"


def test_one_of_several_keys_is_enough(capsys: Says) -> None:
    assert main([str(GOOD), "--key", str(OTHER)]) == 1
    assert main([str(GOOD), "--key", str(OTHER), "--key", str(KEY)]) == 0


def test_it_is_about_the_request_and_the_weights_asked_for(tmp_path: Path, capsys: Says) -> None:
    key = ["--key", str(KEY)]
    asked = "req_0195a000000070008000000000000002"
    assert main([str(GOOD), *key, "--request", asked]) == 0
    assert main([str(GOOD), *key, "--request", asked[:-1] + "3"]) == 1
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    case = numbered(
        unlearned(
            model(
                published={
                    "version": uuid(11),
                    "number": 2,
                    "sha256": digest(weights),
                }
            )
        ),
        uuid(50),
    )
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(sealed(payload_of(case), case))
    assert main([str(bundle), *key, "--weights", str(weights)]) == 0
    weights.write_bytes(b"other weights")
    assert main([str(bundle), *key, "--weights", str(weights)]) == 1
    assert main([str(bundle), *key, "--weights", str(tmp_path / "none")]) == 1


def digest(path: Path) -> str:
    done = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def odd_bundles(folder: Path) -> dict[str, Path]:
    raw = GOOD.read_bytes()
    contents = {
        "empty": b"",
        "text": b"hello",
        "nothing": b"null",
        "number": b"1e400",
        "nan": b"NaN",
        "long number": b"9" * 100_000,
        "list": b"[]",
        "strings": b'"entry"',
        "nested lists": b"[" * 100_000,
        "nested objects": b'{"entry":' * 100_000,
        "surrogate": b'{"entry":"\\ud800","envelope":{},"proof":""}',
        "not utf-8": b"\xff\xfe" + raw,
        "zeros": bytes(1000),
        "wrong types": b'{"entry":1,"envelope":[],"proof":null}',
        "too large": b" " * (verify.LARGEST_BUNDLE + 1),
    }
    made = {}
    for number, (name, content) in enumerate(contents.items()):
        made[name] = folder / f"{number}.json"
        made[name].write_bytes(content)
    return {**made, "folder": folder, "not there": folder / "none", "device": Path("/dev/zero")}


def test_no_file_whatever_brings_it_out_of_order(tmp_path: Path, capsys: Says) -> None:
    for name, path in odd_bundles(tmp_path).items():
        assert main([str(path), "--key", str(KEY)]) == 1, name
        said = capsys.readouterr()
        assert "FLAW  bundle: " in said.out, name
        assert said.err == "", name


def test_no_key_file_whatever_brings_it_out_of_order(tmp_path: Path, capsys: Says) -> None:
    rsa = tmp_path / "rsa.pem"
    rsa.write_bytes(
        generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    empty, certificate = tmp_path / "empty.pem", tmp_path / "certificate.pem"
    empty.write_bytes(b"")
    certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for path in (rsa, empty, certificate, GOOD, tmp_path, tmp_path / "none"):
        assert main([str(GOOD), "--key", str(path)]) == 1, path
        assert "FLAW  key: " in capsys.readouterr().out


def test_random_bytes_and_random_json_are_refused() -> None:
    chance = random.Random(7)
    raw = GOOD.read_bytes()
    for _ in range(2_000):
        content = chance.randbytes(chance.randrange(200))
        with pytest.raises(Flaw):
            verify.verify(content, [OURS.public])
    for _ in range(500):
        start = chance.randrange(len(raw))
        other = raw[:start] + chance.randbytes(chance.randrange(1, 40)) + raw[start:]
        with pytest.raises(Flaw):
            verify.verify(other, [OURS.public])


LAST = "9999-12-31T23:59:59.999999Z"
ODD: list[Any] = [
    *(None, True, 0, -1, 2**64, 10**4000, 1.5, "", "x", "\x1b[2J", [], {}, [[]], [None]),
    *(LAST, "0001-01-01T00:00:00.000000Z", "2026-02-30T00:00:00.000000Z"),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    return found + [one for key, part in inner for one in places(part, (*path, key))]


@pytest.mark.parametrize(
    "make", [unlearned, no_match, refused, lambda: refused(model()), reopened], ids=range(5)
)
def test_a_signed_statement_with_something_odd_anywhere_raises_nothing_but_a_flaw(
    make: Callable[[], Any], capsys: Says, tmp_path: Path
) -> None:
    """The service's own key on nonsense: each place of the statement holds something else."""
    case = numbered(make(), uuid(50))
    chance = random.Random(11)
    every = places(json.loads(payload_of(case)))
    for path in every:
        document = json.loads(payload_of(case))
        part = document
        for key in path[:-1]:
            part = part[key]
        odd = LAST if path[-1] == "submitted" else chance.choice(ODD)
        part[path[-1]] = odd
        payload = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        bundle = tmp_path / "bundle.json"
        bundle.write_bytes(sealed(payload, case))
        assert main([str(bundle), "--key", str(KEY)]) in (0, 1), path
        assert main([str(bundle), "--key", str(KEY), "--json"]) in (0, 1), path
    assert "\x1b" not in capsys.readouterr().out


def test_the_verifier_knows_exactly_the_fields_that_the_service_writes() -> None:
    cases: list[tuple[str, type[statement.Case]]] = [
        *((outcome, statement.UnlearnedCase) for outcome in verify.UNLEARNED),
        ("no_match", statement.NoMatchCase),
        ("refused", statement.RefusedCase),
        ("reopened", statement.ReopenedCase),
    ]
    assert [outcome for outcome, _ in cases] == list(verify._PREDICATES)
    for outcome, kind in cases:
        assert verify._PREDICATES[outcome].keys() == kind.model_fields.keys()
    for shape, part in (
        (verify._MODEL, model_erasure.ModelErasure),
        (verify._ATTEMPT, model_erasure.Attempt),
        (verify._FIRST_PAGE, model_erasure.FirstPage),
        (verify._VERSION, model_erasure.VersionDigest),
        (verify._SEARCHED, statement.SearchedDataset),
        (verify._NOT_UNLEARNED, statement.NotUnlearned),
        (verify._AGAIN, statement.WorkedOnAgain),
        (verify._CASE["times"], statement.Times),
        (verify._CASE["destruction"][0], statement.Destruction),
    ):
        assert shape.keys() == part.model_fields.keys()


def test_a_name_that_would_move_the_cursor_is_printed_as_what_it_is(capsys: Says) -> None:
    assert verify._plain("a\x9b2J\u202eb\n") == "a\\u009b2J\\u202eb\\u000a"


def test_a_key_of_somebody_else_is_never_asked() -> None:
    with pytest.raises(Flaw, match="not given here"):
        verify.verify(GOOD.read_bytes(), [THEIRS.public])
    with pytest.raises(Flaw, match="not given here"):
        verify.verify(GOOD.read_bytes(), [])
