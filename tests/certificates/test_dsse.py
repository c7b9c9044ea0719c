import base64
import json

from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from app.certificates import dsse
from app.signing import key_id
from tests.certificates.sealed import OURS


def test_the_signed_bytes_are_those_of_the_specification_s_own_example() -> None:
    encoded = dsse.pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_count_bytes_and_not_characters() -> None:
    assert dsse.pre_authentication_encoding("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_another_library_accepts_the_envelope() -> None:
    made = Envelope.from_dict(json.loads(dsse.envelope(b"{}", OURS)))
    key = SSlibKey(key_id(OURS.public), "ed25519", "ed25519", {"public": OURS.public.hex()})
    assert list(made.verify([key], 1)) == [key.keyid]
    assert (made.payload, made.payload_type) == (b"{}", "application/vnd.in-toto+json")


def test_the_same_parts_give_the_same_bundle_in_canonical_form() -> None:
    envelope = dsse.envelope(b"{}", OURS)
    made = dsse.bundle(b"leaf", envelope, "proof")
    assert made == dsse.bundle(b"leaf", envelope, "proof")
    document = json.loads(made)
    assert base64.b64decode(document["entry"]) == b"leaf"
    assert json.dumps(document, sort_keys=True, separators=(",", ":")).encode() == made
