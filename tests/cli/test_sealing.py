"""`lotus audit` and `lotus signing-keys`, on the data and against a service."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.audit import notes
from app.cli import watching
from app.config import Settings
from app.runtime import Runtime
from app.signing import make_key, open_signer, public_pem
from client import LotusClient
from tests.audit.logs import Sealed, cut, past_the_triggers, signer, write
from tests.cli.conftest import Result
from tests.databases import fleet_settings

LotusHere = Callable[..., Result]


@pytest.fixture
def lotus(
    settings: Settings, runtime: Runtime, lotus_here: LotusHere, monkeypatch: pytest.MonkeyPatch
) -> LotusHere:
    """`lotus` over this test's data, as an operator of the machine that seals runs it."""
    monkeypatch.setenv("LOTUS_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("LOTUS_SIGNING_KEY", str(settings.data_dir / "1.pem"))
    if not runtime.database.is_sqlite:
        for name, value in fleet_settings(runtime.database).items():
            monkeypatch.setenv(f"LOTUS_{name.upper()}", value)
    return lotus_here


@pytest.fixture
def sealed(runtime: Runtime, settings: Settings) -> Sealed:
    """Sealed at seven entries; three more wait."""
    made = Sealed(runtime.database, settings.data_dir)
    write(runtime.database, 6)
    made.seal()
    write(runtime.database, 3, "later")
    return made


def keep(lotus: LotusHere, path: Path) -> Path:
    path.write_text(lotus("audit", "checkpoint").out)
    return path


def test_the_newest_checkpoint_is_printed_as_it_is(lotus: LotusHere, sealed: Sealed) -> None:
    result = lotus("audit", "checkpoint")
    assert result.code == 0
    assert notes.parse(result.out).verify(sealed.signer.public)
    assert lotus("audit", "checkpoint", "--json").document == {"size": 7, "note": result.out}


def test_before_anything_is_sealed_no_checkpoint_is_printed(
    lotus: LotusHere, runtime: Runtime
) -> None:
    result = lotus("audit", "checkpoint")
    assert (result.code, result.out) == (1, "") and "nothing has been signed" in result.err
    listed = lotus("signing-keys")
    assert listed.code == 0 and "no key has signed" in listed.out


def test_a_log_that_continues_a_kept_checkpoint_passes(
    lotus: LotusHere, sealed: Sealed, tmp_path: Path
) -> None:
    kept = keep(lotus, tmp_path / "kept")
    sealed.seal()
    result = lotus("audit", "check", "--since", str(kept), "--json")
    assert result.code == 0
    shown = result.document
    assert (shown["ok"], shown["entries"], shown["checkpoints"]) == (True, 10, 2)
    said = lotus("audit", "check", "--since", str(kept)).out
    assert "the 7 entries of the given checkpoint are as they were" in said


def test_a_log_that_was_cut_fails_against_a_kept_checkpoint_only(
    lotus: LotusHere, sealed: Sealed, tmp_path: Path
) -> None:
    sealed.seal()
    kept = keep(lotus, tmp_path / "kept")
    cut(sealed.database, 8)
    assert lotus("audit", "check").code == 0
    result = lotus("audit", "check", "--since", str(kept))
    assert result.code == 1 and "was cut" in result.err
    assert lotus("audit", "check", "--since", str(kept), "--json").code == 1


def test_a_damaged_checkpoint_in_the_database_fails_the_check_by_name(
    lotus: LotusHere, sealed: Sealed
) -> None:
    from sqlalchemy import text

    with past_the_triggers(sealed.database) as session:
        session.execute(text("UPDATE audit_checkpoints SET tree_size = 6"))
    result = lotus("audit", "check")
    assert result.code == 1 and "checkpoint 6: its root is not" in result.err


def test_a_kept_checkpoint_must_be_signed_by_the_key_that_is_given(
    lotus: LotusHere, sealed: Sealed, tmp_path: Path
) -> None:
    kept = keep(lotus, tmp_path / "kept")
    origin = notes.parse(kept.read_text()).checkpoint.origin
    right, other = tmp_path / "right.pem", tmp_path / "other.pem"
    right.write_text(public_pem(sealed.signer.public))
    other.write_text(public_pem(signer(2).public))
    since = ("audit", "check", "--since", str(kept), "--key")
    assert lotus(*since, str(right)).code == 0
    assert lotus(*since, notes.vkey(origin, sealed.signer.public)).code == 0
    for wrong in (str(other), notes.vkey("other.example.org", sealed.signer.public)):
        result = lotus(*since, wrong)
        assert result.code == 1 and "not signed by the key" in result.err
    for none in ("nothing+here", str(kept), str(tmp_path)):
        result = lotus(*since, none)
        assert result.code == 1 and "--key" in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"hello\n"])
def test_a_kept_file_that_is_no_checkpoint_is_refused(
    lotus: LotusHere, sealed: Sealed, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "kept"
    assert "cannot be read" in lotus("audit", "check", "--since", str(path)).err
    path.write_bytes(content)
    result = lotus("audit", "check", "--since", str(path))
    assert result.code == 1 and "no checkpoint" in result.err


def test_a_forged_checkpoint_is_not_taken_for_one_that_was_kept(
    lotus: LotusHere, sealed: Sealed, tmp_path: Path
) -> None:
    head = notes.parse(lotus("audit", "checkpoint").out).checkpoint
    forged = notes.signed(head, signer(2).public, signer(2).sign(head.text.encode()))
    (tmp_path / "forged").write_text(forged.note)
    result = lotus("audit", "check", "--since", str(tmp_path / "forged"))
    assert result.code == 1 and "not signed by a key of this log" in result.err


# -- a running service, from outside


@pytest.fixture
def outside(
    anonymous: TestClient,
    make_key: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    lotus: LotusHere,
    tmp_path: Path,
    sealed: Sealed,
) -> LotusHere:
    """`outside("--since", ...)` asks this test's service, and has the key in a file."""
    key = make_key()

    def answer(request: httpx2.Request) -> httpx2.Response:
        got = anonymous.get(
            request.url.raw_path.decode(), headers={"Authorization": f"Bearer {key}"}
        )
        return httpx2.Response(got.status_code, headers=dict(got.headers), content=got.content)

    monkeypatch.setattr(
        watching,
        "connect",
        lambda url: LotusClient(url, key, transport=httpx2.MockTransport(answer)),
    )
    pem = tmp_path / "log.pem"
    pem.write_text(public_pem(sealed.signer.public))
    return lambda *arguments: lotus(
        "audit", "check", "--url", "http://service", "--key", str(pem), *arguments
    )


def test_a_service_proves_that_its_log_continues_a_kept_checkpoint(
    outside: LotusHere, lotus: LotusHere, sealed: Sealed, tmp_path: Path
) -> None:
    kept = keep(lotus, tmp_path / "kept")
    write(sealed.database, 30, "more")
    sealed.seal()
    result = outside("--since", str(kept), "--json")
    assert result.code == 0, result.err
    assert result.document["ok"] and result.document["size"] > 30
    assert notes.parse(result.document["note"]).verify(sealed.signer.public)
    assert "are as they were" in outside("--since", str(kept)).out
    assert outside().code == 0


def test_a_service_whose_log_was_cut_or_written_anew_is_found_out(
    outside: LotusHere, lotus: LotusHere, sealed: Sealed, tmp_path: Path
) -> None:
    write(sealed.database, 9, "lost")
    sealed.seal()
    kept = keep(lotus, tmp_path / "kept")
    cut(sealed.database, 7)
    result = outside("--since", str(kept))
    assert result.code == 1 and "was cut" in result.err
    # Whoever holds the key as well can sign another history, and cannot prove that it continues.
    sealed.memory.path.unlink()
    write(sealed.database, 40, "forged")
    forger = Sealed(sealed.database, tmp_path / "forger")
    shutil.rmtree(tmp_path / "forger", ignore_errors=True)
    forger.memory.path.parent.mkdir()
    with sealed.database.read() as session:
        from app.audit.checkpoints import newest

        stored = newest(session)
    assert stored is not None
    forger.memory.write(stored.note)
    assert forger.seal() is not None
    result = outside("--since", str(kept))
    assert result.code == 1 and "cannot prove" in result.err


def test_a_service_that_signs_with_another_key_is_found_out(
    outside: LotusHere, sealed: Sealed, settings: Settings
) -> None:
    Sealed(sealed.database, settings.data_dir, seed=2).seal()
    result = outside()
    assert result.code == 1 and "not signed by the key" in result.err


def test_a_service_that_knows_itself_rewound_is_believed(
    outside: LotusHere, sealed: Sealed
) -> None:
    cut(sealed.database, 3)
    sealed.seal()
    result = outside()
    assert result.code == 1 and "itself that its log is rewound" in result.err


def test_a_service_is_not_asked_whose_signature_counts(lotus: LotusHere, sealed: Sealed) -> None:
    result = lotus("audit", "check", "--url", "http://service")
    assert result.code == 1 and "--url needs --key" in result.err


# -- a rewound log


def test_a_rewind_is_shown_first_and_accepted_with_yes(lotus: LotusHere, sealed: Sealed) -> None:
    nothing = lotus("audit", "accept-rewind", "--yes")
    assert nothing.code == 1 and "not found rewound" in nothing.err
    lost = sealed.seal()
    assert lost is not None
    cut(sealed.database, 7)
    sealed.seal()
    assert "rewound" in lotus("audit", "checkpoint").err
    shown = lotus("audit", "accept-rewind")
    assert shown.code == 1 and "nothing was done" in shown.out
    assert "10 entries" in shown.out and lost.root_hash.hex() in shown.out.replace("\n", "")
    assert sealed.seal() is None
    done = lotus("audit", "accept-rewind", "--yes", "--json")
    assert done.code == 0
    assert (done.document["accepted"], done.document["signed_size"]) == (True, 10)
    assert sealed.seal() is not None


def test_a_rewind_is_accepted_only_where_the_log_is_sealed(
    lotus: LotusHere, sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sealed.database.is_sqlite:
        pytest.skip("a single machine seals")
    monkeypatch.delenv("LOTUS_SIGNING_KEY")
    result = lotus("audit", "accept-rewind", "--yes")
    assert result.code == 1 and "LOTUS_SIGNING_KEY" in result.err


def test_a_rewind_is_not_accepted_while_the_sealer_works(lotus: LotusHere, sealed: Sealed) -> None:
    sealed.seal()
    cut(sealed.database, 7)
    sealed.seal()
    with sealed.memory.held():
        result = lotus("audit", "accept-rewind", "--yes")
    assert result.code == 1 and "try again" in result.err


# -- keys


def test_the_keys_are_listed_and_written_as_files_that_openssl_reads(
    lotus: LotusHere, sealed: Sealed, settings: Settings, tmp_path: Path
) -> None:
    Sealed(sealed.database, settings.data_dir, seed=2).seal()
    shown = lotus("signing-keys", "--write", str(tmp_path / "keys"), "--json").document["items"]
    assert sorted(each["until"] is None for each in shown) == [False, True]
    for each in shown:
        path = tmp_path / "keys" / f"{each['key_id']}.pem"
        read = ["openssl", "pkey", "-pubin", "-in", str(path), "-pubout", "-outform", "DER"]
        der = subprocess.run(read, capture_output=True, check=True).stdout
        assert notes.parse_vkey(each["vkey"])[1] == der[-32:]
    listed = lotus("signing-keys").out
    assert all(each["vkey"] in listed for each in shown) and "in use" in listed


def test_a_key_is_made_once_and_not_while_the_log_has_one(
    lotus: LotusHere, runtime: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings.data_dir / "elsewhere" / "new.pem"
    monkeypatch.setenv("LOTUS_SIGNING_KEY", str(path))
    assert lotus("signing-keys", "create", "--json").document == {"path": str(path), "made": True}
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert lotus("signing-keys", "create", "--json").document["made"] is False
    assert path.read_bytes() == content
    Sealed(runtime.database, settings.data_dir).seal()
    path.unlink()
    refused = lotus("signing-keys", "create")
    assert refused.code == 1 and "put the file back" in refused.err.replace("\n", " ")
    assert not path.exists()


def test_a_key_that_openssl_made_is_taken(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "own.pem"
    made = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)]
    subprocess.run(made, check=True, capture_output=True)
    opened = open_signer(settings.model_copy(update={"signing_key": str(path)}))
    assert opened is not None and len(opened.sign(b"x")) == 64
    assert not make_key(path)
