"""`/audit/checkpoint` and `/audit/proof`: what an outside monitor needs; and `/signing-keys`.

All of it is the same for every controller: sizes, hashes, signatures and public keys.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response

from app.audit import checkpoints, notes, proofs, sequencer, service
from app.audit.endpoints import Auditor
from app.audit.schemas import ConsistencyView, InclusionView, SigningKeys, SigningKeyView
from app.http.problems import Conflict, InvalidInput, NotFound
from app.http.sessions import ReadSession
from app.keys.auth import Caller, MissingScope, authenticate
from app.keys.scopes import Scope
from app.signing import public_pem

router = APIRouter(tags=["audit"])

_MOST = 2**63  # what a database holds as a number
_TEXT = "text/plain; charset=utf-8"
_NOTE: dict[int | str, Any] = {
    200: {"content": {"text/plain": {"example": "log.example.org/lotus\n20852163\n…"}}}
}


class NoCheckpoint(NotFound):
    code = "no-checkpoint"
    title = "No such checkpoint"


class LogIsRewound(Conflict):
    code = "log-rewound"
    title = "The log does not continue what was signed"


class NotSequenced(Conflict):
    code = "not-sequenced"
    title = "The entry has no place in the log yet"


class UnknownEntry(NotFound):
    code = "unknown-entry"
    title = "No entry with this hash"


def _key_reader(caller: Annotated[Caller, Depends(authenticate)]) -> None:
    """Whoever reads certificates or the log has something to verify."""
    if not caller.scopes & {Scope.AUDIT_READ, Scope.REQUESTS_READ}:
        raise MissingScope("This call needs the scope audit:read or requests:read.")


@router.get("/audit/checkpoint", response_class=PlainTextResponse, responses=_NOTE)
def get_audit_checkpoint(caller: Auditor, session: ReadSession) -> Response:
    """The newest signed head of the log, as a C2SP checkpoint. Keep it: with it, and later ones,
    you can prove that nothing before it was changed.

    409 `log-rewound` while the log does not continue what was signed, so that nobody takes an old
    checkpoint for the present one.
    """
    state = checkpoints.log_state(session)
    if state is not None and state.rewound_at is not None:
        raise LogIsRewound(
            "The sealer found the log cut, changed or restored, and signs nothing until a person "
            "has looked. Earlier checkpoints are at `/audit/checkpoints/{size}`."
        )
    newest = checkpoints.newest(session)
    if newest is None:
        raise NoCheckpoint("Nothing has been signed yet.")
    return _note(newest.note)


@router.get("/audit/checkpoints/{size}", response_class=PlainTextResponse, responses=_NOTE)
def get_audit_checkpoint_of_size(
    caller: Auditor, session: ReadSession, size: Annotated[int, Path(ge=0, lt=_MOST)]
) -> Response:
    """An earlier signed head, as it was signed. 404 if the log was not signed at this size."""
    stored = checkpoints.of_size(session, size)
    if stored is None:
        raise NoCheckpoint("No tree of this size was signed.")
    return _note(stored.note)


@router.get(
    "/audit/proof/inclusion",
    response_model=InclusionView,
    responses={200: {"content": {"text/plain": {"example": "c2sp.org/tlog-proof@v1\n…"}}}},
)
def get_inclusion_proof(
    caller: Auditor,
    session: ReadSession,
    request: Request,
    index: Annotated[int | None, Query(ge=0, lt=_MOST)] = None,
    leaf_hash: Annotated[
        str | None, Query(pattern="^[0-9a-f]{64}$", description="Instead of the index.")
    ] = None,
    tree_size: Annotated[
        int | None, Query(ge=0, lt=_MOST, description="Default: the newest checkpoint's.")
    ] = None,
) -> InclusionView | Response:
    """That an entry stands in the tree of a size. With `Accept: text/plain` the proof is a C2SP
    tlog-proof with the checkpoint of that size, which must have been signed."""
    if (index is None) == (leaf_hash is None):
        raise InvalidInput("Name the entry by either its index or its leaf hash.")
    place = _place(session, leaf_hash) if leaf_hash is not None else index
    assert place is not None
    size = _size(session, tree_size)
    hashes = proofs.inclusion(session, place, size)
    if _wants_text(request):
        stored = checkpoints.of_size(session, size)
        if stored is None:
            raise NoCheckpoint("No tree of this size was signed, so the proof has no checkpoint.")
        return _note(notes.proof_text(place, hashes, stored.note))
    return InclusionView(
        index=place,
        tree_size=size,
        leaf_hash=service.leaf_hash_at(session, place).hex(),
        root=proofs.root(session, size).hex(),
        hashes=[digest.hex() for digest in hashes],
    )


@router.get("/audit/proof/consistency")
def get_consistency_proof(
    caller: Auditor,
    session: ReadSession,
    old: Annotated[int, Query(ge=1, lt=_MOST, description="Size of the older tree.")],
    new: Annotated[
        int | None, Query(ge=1, lt=_MOST, description="Default: the newest checkpoint's size.")
    ] = None,
) -> ConsistencyView:
    """That the tree of one size is the beginning of that of another: nothing in it was changed."""
    later = _size(session, new)
    hashes = proofs.consistency(session, old, later)
    return ConsistencyView(
        old=old,
        new=later,
        old_root=proofs.root(session, old).hex(),
        new_root=proofs.root(session, later).hex(),
        hashes=[digest.hex() for digest in hashes],
    )


@router.get("/signing-keys", dependencies=[Depends(_key_reader)])
def list_signing_keys(session: ReadSession) -> SigningKeys:
    """Public keys of checkpoints and certificates, those that were replaced included. A key that
    came to you another way is worth more: whoever could change the log could change this list."""
    state = checkpoints.log_state(session)
    return SigningKeys(
        items=[
            SigningKeyView(
                key_id=key.key_id,
                pem=public_pem(key.public),
                vkey=notes.vkey(state.origin, key.public),
                since=key.created_at,
                until=key.retired_at,
            )
            for key in checkpoints.signing_keys(session)
            if state is not None
        ]
    )


def _place(session: ReadSession, leaf_hash: str) -> int:
    digest = bytes.fromhex(leaf_hash)
    waits = service.is_pending(session, digest)  # asked first: it may get its place in between
    index = sequencer.index_of(session, digest)
    if index is not None:
        return index
    if waits:
        raise NotSequenced(
            "The entry is committed and gets its place within seconds.",
            headers={"Retry-After": "1"},
        )
    raise UnknownEntry("The log has no entry with this leaf hash.")


def _size(session: ReadSession, given: int | None) -> int:
    """What was signed last, so that a proof leads to something signed; else the tree as it is."""
    if given is not None:
        return given
    newest = checkpoints.newest(session)
    return newest.tree_size if newest is not None else sequencer.size(session)


def _wants_text(request: Request) -> bool:
    return request.headers.get("accept", "").split(";")[0].strip() == "text/plain"


def _note(text: str) -> Response:
    return Response(text, media_type=_TEXT, headers={"Cache-Control": "no-store"})
