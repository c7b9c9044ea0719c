import hashlib
from uuid import UUID

import pytest

from app.identities import BadIdentity, IdentityFormat, value_sha256
from app.keyring import BadKey, Keyring, _decode_pseudonym

RAW, HASHED = IdentityFormat.RAW, IdentityFormat.SHA256
RING = Keyring(
    secret=b"s" * 32, pseudonym={"k1": b"p" * 32, "k2": b"q" * 32}, suppression=b"t" * 32
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("kind", "value", "normal"),
    [
        ("email", "  Jane.Doe@Example.COM ", "jane.doe@example.com"),
        ("email", "jos\u0065\u0301@example.com", "jos\u00e9@example.com"),
        ("controller_customer_id", " A-17 ", "A-17"),
        ("controller_customer_id", "Abc", "Abc"),
    ],
)
def test_a_raw_value_is_hashed_in_its_normal_form(kind: str, value: str, normal: str) -> None:
    assert value_sha256(kind, value, RAW) == sha(normal)
    assert value_sha256(kind, sha(normal).upper(), HASHED) == sha(normal)


@pytest.mark.parametrize("value", ["", "   ", "a\x00b", "\ud800", "x" * 1025])
def test_what_cannot_be_an_identity_is_refused_without_being_repeated(value: str) -> None:
    with pytest.raises(BadIdentity) as caught:
        value_sha256("email", value, RAW)
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize("value", ["abc", "g" * 64, "a" * 63, "a" * 65])
def test_what_is_no_sha256_is_refused(value: str) -> None:
    with pytest.raises(BadIdentity):
        value_sha256("email", value, HASHED)


def test_references_depend_on_key_type_and_value() -> None:
    digest = sha("a")
    references = {
        RING.subject_ref("k1", "email", digest),
        RING.subject_ref("k2", "email", digest),
        RING.subject_ref("k1", "phone", digest),
        RING.subject_ref("k1", "email", sha("b")),
        RING.suppression_tag("email", digest),
        RING.sample_ref("k1", UUID(int=1), "a"),
        RING.sample_ref("k1", UUID(int=2), "a"),
    }
    assert len(references) == 7


def test_a_reference_is_the_documented_hmac() -> None:
    import hmac

    message = b"email\x00" + sha("jane@example.com").encode()
    expected = hmac.new(b"p" * 32, message, hashlib.sha256).digest()
    hashed = value_sha256("email", "Jane@example.com", RAW)
    assert RING.subject_ref("k1", "email", hashed) == expected


def test_keys_are_never_shown() -> None:
    assert "ppp" not in repr(RING) and "sss" not in repr(RING)


@pytest.mark.parametrize("text", ["k1", "k1:", ":AAAA", "k1:AAAA", "k1:!", "k1:AA==,k1:AA=="])
def test_a_faulty_pseudonym_key_names_its_variable_and_not_its_value(text: str) -> None:
    with pytest.raises(BadKey, match="LOTUS_PSEUDONYM_KEY") as caught:
        _decode_pseudonym(text)
    assert text not in str(caught.value)
