"""From the body of a call to what intake works with."""

from datetime import UTC, datetime, timedelta

from app.canonical import canonical_json
from app.erasure.schemas import SubjectIdentity, SubmitErasure
from app.erasure.subjects import Identity
from app.erasure.submission import Submission
from app.keyring import Keyring
from app.keys.auth import Caller

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def identities_of(subjects: list[SubjectIdentity]) -> tuple[Identity, ...]:
    return tuple(Identity(one.type, one.value, one.format) for one in subjects)


def submission_of(
    body: SubmitErasure, caller: Caller, keyring: Keyring, *, raw: bytes | None = None
) -> Submission:
    """`raw` is the body as it was received, which earlier versions compared repeats by."""
    return Submission(
        controller=caller.controller_id,
        submitted_by=caller.key_id,
        actor=caller.actor,
        external_id=body.external_id,
        identities=identities_of(body.subjects),
        regulation=body.regulation,
        legal_ground=body.legal_ground,
        submitted_at=body.submitted_at,
        models=tuple(body.models) if body.models else None,
        callback_urls=tuple(body.callback_urls or ()),
        body_digest=_digest(keyring, caller, content_of(body)),
        raw_digest=None if raw is None else _digest(keyring, caller, raw),
    )


def content_of(body: SubmitErasure) -> bytes:
    """What the body says, however it was written: the same for a call, a line of JSON and a row of
    a table. Members that keep their default are left out, so later ones change nothing."""
    said = body.model_dump(mode="json", exclude_defaults=True, exclude={"submitted_at"})
    if body.submitted_at is not None:
        said["submitted_at"] = (body.submitted_at - _EPOCH) // timedelta(microseconds=1)
    return canonical_json(said)


def _digest(keyring: Keyring, caller: Caller, content: bytes) -> bytes:
    return keyring.digest("erasure-body", caller.controller_id.bytes + content)
