"""What a holder of a key tries in order to come by more than the key gives."""

import pytest

from app.keys import service
from app.keys.scopes import ALL_SCOPES, Scope
from tests.keys.conftest import PROBLEM, Holder, MakeHolder

ADMIN, READ, DECIDE = Scope.KEYS_ADMIN, Scope.REQUESTS_READ, Scope.REQUESTS_DECIDE


@pytest.fixture
def weak(holder: MakeHolder) -> Holder:
    """May manage keys and read requests, and nothing else."""
    return holder(ADMIN, READ)


def test_nobody_grants_a_scope_that_he_lacks(weak: Holder) -> None:
    assert weak.make(ADMIN, READ).status_code == 201
    for scope in set(ALL_SCOPES) - {ADMIN, READ}:
        refused = weak.make(READ, scope)
        assert refused.status_code == 403
        assert refused.json()["type"] == PROBLEM + "privilege-escalation"
        assert scope in refused.json()["detail"] and READ not in refused.json()["detail"]
    assert len(weak.listed()) == 2


def test_who_may_not_manage_keys_makes_none(holder: MakeHolder) -> None:
    rest = holder(*(scope for scope in ALL_SCOPES if scope is not ADMIN))
    assert rest.make(READ).json()["type"] == PROBLEM + "missing-scope"


def test_a_stronger_key_than_one_s_own_cannot_be_rotated(weak: Holder, admin: Holder) -> None:
    strong = admin.made(READ, DECIDE, name="strong")
    refused = weak.rotate(strong["id"])
    assert refused.status_code == 403
    assert refused.json()["type"] == PROBLEM + "privilege-escalation"
    assert DECIDE in refused.json()["detail"]
    assert admin.opens(strong["key"])
    assert admin.named("strong")["expires_at"] is None


def test_keys_of_another_controller_are_out_of_reach(admin: Holder, holder: MakeHolder) -> None:
    other = holder(controller="other")
    theirs = other.made(READ)
    assert theirs["id"] not in [key["id"] for key in admin.listed()]
    for refused in (admin.rotate(theirs["id"]), admin.revoke(theirs["id"])):
        assert refused.status_code == 404
        assert refused.json()["type"] == PROBLEM + "unknown-key"
    assert other.opens(theirs["key"])


def test_the_idempotency_key_of_another_controller_tells_nothing(
    admin: Holder, holder: MakeHolder
) -> None:
    other = holder(controller="other")
    for one in (admin, other):
        one.headers["Idempotency-Key"] = "the-same"
        assert one.make(READ).status_code == 201


def test_an_expired_key_manages_no_more(admin: Holder) -> None:
    made = admin.made(ADMIN)
    late = Holder(admin.client, made["key"])
    assert admin.rotate(made["id"], overlap_seconds=0).status_code == 201
    assert late.make(ADMIN).status_code == 401
    assert late.rotate(made["id"]).status_code == 401


def test_a_revoked_key_does_not_come_back_by_rotation(admin: Holder) -> None:
    made = admin.made(READ)
    admin.revoke(made["id"])
    assert admin.rotate(made["id"]).json()["type"] == PROBLEM + "key-not-valid"


def test_to_know_how_a_checksum_is_made_does_not_make_a_key(admin: Holder) -> None:
    key = admin.made(READ)["key"]
    body = key[4:44]
    for other in (body.swapcase(), body[::-1], "0" * 40):
        forged = service.PREFIX + other + service._checksum(other)
        assert service.well_formed(forged)
        assert not admin.opens(forged)
    for near in (key.swapcase(), key.upper(), key[:-1], key + "0", key[4:], key + " " + key):
        assert not admin.opens(near)
