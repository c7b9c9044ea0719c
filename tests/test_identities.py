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


# Computed by hand: `printf %s jane.doe@example.com | sha256sum`.
VECTORS = [
    (
        "email",
        "  Jane.Doe@Example.COM\t",
        "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d",
    ),
    (
        "email",
        "JOSE\u0301@Example.com",
        "b0a53cf19e34d05b57bced7365c6b00ddbe38d62957e863de2a66a56c3b42cea",
    ),
    (
        "email",
        "Stra\u00dfe@EXAMPLE.de",
        "7281afd3f5258ca191a9347070596d1b23a3e58e8f2f0006c165750bd98723aa",
    ),
    (
        "email",
        "jane+news@example.com",
        "5a70ec8b461e4cac30f3a4b74cc1281e8ae664423f94429b738152ca14d81b77",
    ),
    (
        "controller_customer_id",
        " A-17\u00a0",
        "73df676f27525e21f313b1dbac182d22e468095daf6a631dacd8276ce3686f1f",
    ),
    (
        "controller_customer_id",
        "0017",
        "1ca028f07214879e7a13ac5fddab2db2f66149572a62e814e97e7ad4ba286f4c",
    ),
    (
        "phone_number",
        " +49 30 1234 ",
        "e1ffb21a17328586572df84286e5f576e83a116cafe3525a98f8b7b7c7d01b7f",
    ),
    ("x", "\u212b", "0a94dc9d420d1142d6b71de60f9bf7e2f345a4d62c9f141b091539769ddf3075"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), VECTORS)
def test_the_documented_normal_form_gives_the_documented_hash(
    kind: str, value: str, expected: str
) -> None:
    assert value_sha256(kind, value, RAW) == expected
    assert value_sha256(kind, f" {expected.upper()} ", HASHED) == expected


def test_only_addresses_are_compared_without_case_and_nothing_is_left_out_of_them() -> None:
    assert value_sha256("customer", "A", RAW) != value_sha256("customer", "a", RAW)
    assert value_sha256("email", "jane.doe@x.org", RAW) != value_sha256(
        "email", "janedoe@x.org", RAW
    )
    assert value_sha256("email", "jane+a@x.org", RAW) != value_sha256("email", "jane@x.org", RAW)


def test_a_check_tells_keys_apart_and_is_no_reference() -> None:
    other = Keyring(secret=b"s" * 32, pseudonym={"k1": b"x" * 32}, suppression=b"t" * 32)
    assert RING.pseudonym_check("k1") != RING.pseudonym_check("k2") != other.pseudonym_check("k1")
    assert RING.pseudonym_check("k1") != other.pseudonym_check("k1")
