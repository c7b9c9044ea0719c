"""Notes and proofs as text. The first vector is the example that C2SP gives for signed notes' keys,
recomputed by hand with openssl for this log's form."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit import notes
from app.audit.notes import BadNote, Checkpoint
from app.certificates.verify import Flaw, parse_proof
from tests.audit.logs import signer

ORIGIN = "log.example.org/lotus"
ROOT = hashlib.sha256(b"root").digest()
# RFC 8032, 7.1, test 1: the key of 32 bytes 9d61b1de...
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
# Go's documentation of golang.org/x/mod/sumdb/note, whose format C2SP took over.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


def note(size: int = 7) -> str:
    made = signer()
    checkpoint = Checkpoint(ORIGIN, size, ROOT)
    return notes.signed(checkpoint, made.public, made.sign(checkpoint.text.encode())).note


def test_a_key_and_a_signature_of_another_implementation_are_understood() -> None:
    name, public = notes.parse_vkey(GO_VKEY)
    assert name == "PeterNeumann"
    signature = base64.b64decode(GO_SIGNATURE)
    assert signature[:4] == notes.key_hash(name, public) == bytes.fromhex("c74f20a3")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], GO_NOTE.encode())


def test_a_checkpoint_has_the_lines_of_its_format() -> None:
    lines = note().split("\n")
    assert lines[:4] == [ORIGIN, "7", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith(f"\N{EM DASH} {ORIGIN} ") and lines[5:] == [""]
    signed = base64.b64decode(lines[4].rpartition(" ")[2])
    named = ORIGIN.encode() + b"\n\x01" + signer().public
    assert signed[:4] == hashlib.sha256(named).digest()[:4] and len(signed) == 68


def test_what_was_written_is_read_back() -> None:
    read = notes.parse(note())
    assert read.checkpoint == Checkpoint(ORIGIN, 7, ROOT) and read.note == note()
    assert read.verify(signer().public)
    assert not read.verify(signer(2).public)
    assert notes.parse_vkey(notes.vkey(ORIGIN, PUBLIC)) == (ORIGIN, PUBLIC)


def test_any_byte_of_a_note_that_changes_makes_it_unreadable_or_unsigned() -> None:
    content = note().encode()
    for place in range(len(content)):
        for flipped in (0x01, 0x20, 0x80):
            changed = bytearray(content)
            changed[place] ^= flipped
            try:
                read = notes.parse(changed.decode("utf-8"))
            except (UnicodeDecodeError, BadNote):
                continue
            assert not read.verify(signer().public), place


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "\n",
        lambda text: "\n" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n7\n", "\n07\n"),
        lambda text: text.replace("\n7\n", "\n+7\n"),
        lambda text: text.replace("\n7\n", "\n-7\n"),
        lambda text: text.replace("\n7\n", "\n７\n"),
        lambda text: text.replace("\n7\n", f"\n{2**63}\n"),
        lambda text: text.replace("\n7\n", "\n" + "9" * 5000 + "\n"),
        lambda text: text.replace("\N{EM DASH}", "-"),
        lambda text: text.replace("\N{EM DASH} ", "\N{EM DASH}  "),
        lambda text: text.replace(ORIGIN, "other.example.org", 1),
        lambda text: text.replace(ORIGIN, "log example"),
        lambda text: text.replace(ORIGIN, "log+example"),
        lambda text: text.replace(ORIGIN, "lög"),
        lambda text: text.replace(ORIGIN, ""),
        lambda text: text.replace("=\n\n", "\n\n"),  # base64 without its padding
        lambda text: text + text.split("\n")[4] + "\n",  # a second signature
        lambda text: text.replace("\n\n", "\nextension\n\n"),
        lambda text: text + "x" * 20_000,
    ],
)
def test_a_text_in_any_other_form_is_no_checkpoint(change: object) -> None:
    with pytest.raises(BadNote):
        notes.parse(change(note()))  # type: ignore[operator]


def read_proof(text: str) -> tuple[int, list[bytes], str]:
    index, hashes, rest = parse_proof(text)
    return index, hashes, notes.parse(rest).note


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (notes.parse, read_proof, notes.parse_vkey):
        with pytest.raises((BadNote, Flaw)):
            parse(text)


def test_base64_with_stray_last_bits_is_refused() -> None:
    text = note()
    line = base64.b64encode(ROOT).decode()
    stray = line[:-2] + chr(ord(line[-2]) + 1) + "="
    assert base64.b64decode(stray) == ROOT
    with pytest.raises(BadNote):
        notes.parse(text.replace(line, stray))


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "log.example.org",
        "log.example.org+00000000+" + base64.b64encode(b"\x01" + PUBLIC).decode(),
        notes.vkey(ORIGIN, PUBLIC) + "\n",
        notes.vkey(ORIGIN, PUBLIC)[:-4],
        notes.vkey(ORIGIN, PUBLIC).upper(),
        f"{ORIGIN}+12345678+" + base64.b64encode(b"\x04" + PUBLIC).decode(),
    ],
)
def test_a_key_in_any_other_form_is_refused(vkey: str) -> None:
    with pytest.raises(BadNote):
        notes.parse_vkey(vkey)


@pytest.mark.parametrize("hashes", [(), (ROOT,), (ROOT, bytes(32), ROOT)])
def test_a_proof_has_the_lines_of_its_format_and_is_read_back(hashes: tuple[bytes, ...]) -> None:
    text = notes.proof_text(5, hashes, note())
    lines = [base64.b64encode(digest).decode() for digest in hashes]
    assert text == "\n".join(["c2sp.org/tlog-proof@v1", "index 5", *lines, "", note()])
    assert read_proof(text) == (5, list(hashes), note())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("@v1", "@v2"),
        lambda text: text.replace("index 5", "index 05"),
        lambda text: text.replace("index 5", "index -5"),
        lambda text: text.replace("index 5", f"index {2**63}"),
        lambda text: text.replace("index 5", "extra QUJD\nindex 5"),
        lambda text: text.replace("index 5\n", ""),
        lambda text: text.replace("\n\n", "\n\n\n", 1),
        lambda text: text.replace("\n\n", "\n", 1),
        lambda text: text.replace("\n\n", "\nQUJD\n\n", 1),
        lambda text: text + "\n",
        lambda text: text[:-1],
    ],
)
def test_a_proof_in_any_other_form_is_refused(change: object) -> None:
    text = notes.proof_text(5, (ROOT, ROOT), note())
    with pytest.raises((BadNote, Flaw)):
        read_proof(change(text))  # type: ignore[operator]
