"""What an outside monitor fetches, verified here with nothing but the answers and the key."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.audit import merkle, notes
from app.audit.tables import PendingEntry
from app.certificates.verify import check_inclusion, parse_proof
from app.keys.scopes import Scope
from app.runtime import Runtime
from app.signing import read_public_pem
from tests.audit.logs import NOW, ORIGIN, Sealed, cut, write
from tests.conftest import MakeKey

AUDIT = "/api/v1/audit"
ENTRIES = 13


@pytest.fixture
def sealed(runtime: Runtime, tmp_path: Path) -> Sealed:
    """A service whose log was sealed at eight entries, and at thirteen; two more wait."""
    made = Sealed(runtime.database, tmp_path)
    write(runtime.database, 6)
    made.seal()
    write(runtime.database, ENTRIES - 7, "later")
    made.seal()
    write(runtime.database, 2, "waits")
    return made


@pytest.fixture
def auditor(anonymous: TestClient, sealed: Sealed, make_key: MakeKey) -> TestClient:
    anonymous.headers["Authorization"] = f"Bearer {make_key(Scope.AUDIT_READ)}"
    return anonymous


def get(client: TestClient, path: str, **parameters: Any) -> Any:
    answer = client.get(AUDIT + path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, path: str, **parameters: Any) -> tuple[int, str]:
    answer = client.get(AUDIT + path, params=parameters)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_the_checkpoint_is_a_signed_note_of_the_newest_sealed_tree(
    auditor: TestClient, sealed: Sealed
) -> None:
    answer = auditor.get(f"{AUDIT}/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    signed = notes.parse(answer.text)
    assert signed.verify(sealed.signer.public)
    assert (signed.checkpoint.origin, signed.checkpoint.size) == (ORIGIN, ENTRIES)


def test_an_earlier_checkpoint_is_found_by_its_size(auditor: TestClient) -> None:
    sizes = {
        notes.parse(auditor.get(f"{AUDIT}/checkpoints/{n}").text).checkpoint.size
        for n in (7, ENTRIES)
    }
    assert sizes == {7, ENTRIES}
    for size in (0, 1, 8, 2**63 - 1):
        assert refused(auditor, f"/checkpoints/{size}") == (404, "no-checkpoint")
    for size in (-1, 2**63, "x"):
        assert refused(auditor, f"/checkpoints/{size}") == (422, "invalid-input")


def test_before_anything_is_signed_there_is_no_checkpoint(api: TestClient) -> None:
    assert refused(api, "/checkpoint") == (404, "no-checkpoint")
    keys = api.get("/api/v1/signing-keys").json()
    assert keys == {"items": []}
    # The key that asks was logged, and sequenced by nobody.
    assert refused(api, "/proof/inclusion", index=0) == (404, "not-in-tree")


def test_a_rewound_log_has_no_present_checkpoint_and_the_earlier_ones_stay(
    auditor: TestClient, sealed: Sealed
) -> None:
    cut(sealed.database, 7)
    sealed.seal()
    assert refused(auditor, "/checkpoint") == (409, "log-rewound")
    assert auditor.get(f"{AUDIT}/checkpoints/7").status_code == 200


@pytest.mark.parametrize("size", [None, 1, 7, 11, ENTRIES])
def test_every_inclusion_proof_leads_from_the_entry_to_the_root(
    auditor: TestClient, size: int | None
) -> None:
    chosen = {} if size is None else {"tree_size": size}
    for index in range(size or ENTRIES):
        proof = get(auditor, "/proof/inclusion", index=index, **chosen)
        assert (proof["index"], proof["tree_size"]) == (index, size or ENTRIES)
        leaf, root = bytes.fromhex(proof["leaf_hash"]), bytes.fromhex(proof["root"])
        hashes = [bytes.fromhex(digest) for digest in proof["hashes"]]
        check_inclusion(leaf, index, size or ENTRIES, hashes, root)
        assert get(auditor, "/proof/inclusion", leaf_hash=proof["leaf_hash"], **chosen) == proof


def test_a_proof_as_text_needs_nothing_but_the_entry_and_the_key(
    auditor: TestClient, sealed: Sealed
) -> None:
    entry = get(auditor, "/proof/inclusion", index=2)
    answer = auditor.get(
        f"{AUDIT}/proof/inclusion", params={"index": 2}, headers={"Accept": "text/plain"}
    )
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    index, hashes, note = parse_proof(answer.text)
    signed = notes.parse(note)
    head = signed.checkpoint
    assert signed.verify(sealed.signer.public)
    leaf = bytes.fromhex(entry["leaf_hash"])
    check_inclusion(leaf, index, head.size, hashes, head.root)
    unsigned = auditor.get(
        f"{AUDIT}/proof/inclusion",
        params={"index": 2, "tree_size": 9},
        headers={"Accept": "text/plain"},
    )
    assert (unsigned.status_code, unsigned.json()["title"]) == (404, "No such checkpoint")


def test_every_consistency_proof_leads_from_one_root_to_the_other(auditor: TestClient) -> None:
    for new in range(1, ENTRIES + 1):
        for old in range(1, new + 1):
            proof = get(auditor, "/proof/consistency", old=old, new=new)
            roots = (bytes.fromhex(proof[name]) for name in ("old_root", "new_root"))
            hashes = [bytes.fromhex(digest) for digest in proof["hashes"]]
            assert merkle.verify_consistency(old, new, *roots, hashes)
    assert get(auditor, "/proof/consistency", old=3)["new"] == ENTRIES


def test_an_entry_without_a_place_has_no_proof_yet(auditor: TestClient, sealed: Sealed) -> None:
    with sealed.database.read() as session:
        from sqlalchemy import select

        leaf = session.scalars(select(PendingEntry.leaf_hash)).first()
    assert leaf is not None
    answer = auditor.get(f"{AUDIT}/proof/inclusion", params={"leaf_hash": leaf.hex()})
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
    assert answer.json()["type"].endswith(":not-sequenced")


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({}, 422, "invalid-input"),
        ({"index": 1, "leaf_hash": "0" * 64}, 422, "invalid-input"),
        ({"index": -1}, 422, "invalid-input"),
        ({"index": "1.5"}, 422, "invalid-input"),
        ({"index": 2**63}, 422, "invalid-input"),
        ({"index": 10**40}, 422, "invalid-input"),
        ({"index": ENTRIES}, 404, "not-in-tree"),
        ({"index": 2**63 - 1}, 404, "not-in-tree"),
        ({"index": 0, "tree_size": 0}, 404, "not-in-tree"),
        ({"index": 7, "tree_size": 7}, 404, "not-in-tree"),
        ({"index": 0, "tree_size": ENTRIES + 1}, 404, "no-such-tree"),
        ({"index": 0, "tree_size": 2**63 - 1}, 404, "no-such-tree"),
        ({"index": 0, "tree_size": -1}, 422, "invalid-input"),
        ({"leaf_hash": "0" * 64}, 404, "unknown-entry"),
        ({"leaf_hash": "0" * 63}, 422, "invalid-input"),
        ({"leaf_hash": "A" * 64}, 422, "invalid-input"),
    ],
)
def test_an_inclusion_that_makes_no_sense_is_refused(
    auditor: TestClient, parameters: dict[str, Any], status: int, code: str
) -> None:
    assert refused(auditor, "/proof/inclusion", **parameters) == (status, code)


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({}, 422, "invalid-input"),
        ({"old": 0}, 422, "invalid-input"),
        ({"old": -1}, 422, "invalid-input"),
        ({"old": 2**63}, 422, "invalid-input"),
        ({"old": 1, "new": 0}, 422, "invalid-input"),
        ({"old": 8, "new": 7}, 404, "no-such-tree"),
        ({"old": 1, "new": ENTRIES + 1}, 404, "no-such-tree"),
        ({"old": ENTRIES + 1}, 404, "no-such-tree"),
        ({"old": 1, "new": 2**63 - 1}, 404, "no-such-tree"),
    ],
)
def test_a_consistency_that_makes_no_sense_is_refused(
    auditor: TestClient, parameters: dict[str, Any], status: int, code: str
) -> None:
    assert refused(auditor, "/proof/consistency", **parameters) == (status, code)


def test_the_signing_keys_are_listed_with_those_that_were_replaced(
    auditor: TestClient, sealed: Sealed, tmp_path: Path
) -> None:
    later = Sealed(sealed.database, tmp_path, seed=2)
    later.seal(NOW + timedelta(minutes=1))
    old, new = auditor.get("/api/v1/signing-keys").json()["items"]
    assert old["until"] is not None and new["until"] is None
    for shown, key in ((old, sealed.signer), (new, later.signer)):
        assert read_public_pem(shown["pem"].encode()) == key.public
        assert notes.parse_vkey(shown["vkey"]) == (ORIGIN, key.public)


@pytest.mark.parametrize(
    "path",
    [
        "/checkpoint",
        "/checkpoints/7",
        "/proof/inclusion?index=0",
        "/proof/consistency?old=1",
        "/../signing-keys",
    ],
)
def test_each_needs_its_scope(anonymous: TestClient, make_key: MakeKey, path: str) -> None:
    url = f"{AUDIT}{path}".replace("/audit/..", "")
    assert anonymous.get(url).status_code == 401
    allowed = {Scope.AUDIT_READ} | ({Scope.REQUESTS_READ} if "keys" in path else set())
    others = [scope for scope in Scope if scope not in allowed]
    answer = anonymous.get(url, headers={"Authorization": f"Bearer {make_key(*others)}"})
    assert answer.status_code == 403
    for scope in allowed:
        answer = anonymous.get(url, headers={"Authorization": f"Bearer {make_key(scope)}"})
        assert answer.status_code in (200, 404)


def test_proofs_tell_an_auditor_nothing_of_the_entries_of_others(
    anonymous: TestClient, sealed: Sealed, make_key: MakeKey
) -> None:
    foreign = make_key(Scope.AUDIT_READ, controller="theirs")
    anonymous.headers["Authorization"] = f"Bearer {foreign}"
    said = anonymous.get(f"{AUDIT}/proof/inclusion", params={"index": 0}).text
    assert set(json.loads(said)) == {"index", "tree_size", "leaf_hash", "root", "hashes"}
    entries = anonymous.get(f"{AUDIT}/entries").json()["items"]
    assert [entry["kind"] for entry in entries] == ["keys:key:created", "keys:key:used"]
