"""When a dataset, a model or a version arrives after a request: the requests that it concerns take
it in.

A request concerns it as long as its case is not closed, cancelled or refused, and unless the caller
chose the models. A completed case is reopened: it stated something about every model there was.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from app.audit.kinds import SERVICE
from app.erasure import approving, completion
from app.erasure.counting import Found
from app.erasure.locks import AT_ONCE, lock_items, lock_requests
from app.erasure.reopening import reopen
from app.erasure.states import WITHDRAWN, ItemState
from app.erasure.storing import add_item
from app.erasure.tables import ErasureItem, ErasureRequest, RequestSubject
from app.erasure.transitions import Cause, Event
from app.keyring import Keyring
from app.registry.tables import Model, ModelVersion, Sample, SampleSplit, SampleSubject


def model_ready(session: Session, keyring: Keyring, model: Model, *, now: datetime) -> int:
    """Adds an item to every request that has training samples in the model's dataset. Those whose
    approval does not suffice for this model wait for one; what is in a run already goes on."""
    cause = Cause(Event.MODEL_ADDED, SERVICE, now)
    found = _found_by_request(session, model)
    # Found before the lock: a case that ended in between is left out here.
    requests = [one for one in lock_requests(session, found) if _takes_models_in(one)]
    for request in requests:
        add_item(session, request, model, found[request.id], cause)
        approving.ask_too(session, request, model)
    completion.settle(session, keyring, [request.id for request in requests], cause)
    return len(requests)


def dataset_ready(
    session: Session, controller: UUID, key_id: str, met: Mapping[bytes, bytes]
) -> int:
    """Requests from before the dataset's pseudonym key was in use learn the reference that it gives
    their person, or no model of the dataset would ever find them. `met` maps suppression tags, the
    same under every key, to references. Returns how many were learned."""
    learned = 0
    tags = sorted(met)
    for start in range(0, len(tags), AT_ONCE):
        found = session.scalars(_unknowing(controller, key_id, tags[start : start + AT_ONCE])).all()
        open_ = {
            request.id
            for request in lock_requests(session, {one.request_id for one in found})
            if _takes_models_in(request)
        }
        known = {(one.request_id, one.position): one for one in found if one.request_id in open_}
        session.add_all(
            RequestSubject(
                request_id=request,
                position=position,
                key_id=key_id,
                identity_type=one.identity_type,
                subject_ref=met[one.suppression_tag],
                suppression_tag=one.suppression_tag,
            )
            for (request, position), one in known.items()
        )
        learned += len(known)
    session.flush()
    return learned


def version_ready(
    session: Session, keyring: Keyring, version: ModelVersion, *, now: datetime
) -> int:
    """A version trained elsewhere may have seen the samples again: its published items start anew.

    A run in progress notices by itself that its base is no longer current. The caller holds the
    model, as does whoever else moves a published item or closes its case.
    """
    model = session.get_one(Model, version.model_id)
    cause = Cause(Event.TRAINED_ELSEWHERE, SERVICE, now)
    published = session.scalars(
        select(ErasureItem.id)
        .join(ErasureRequest, ErasureRequest.id == ErasureItem.request_id)
        .where(
            ErasureItem.model_id == model.id,
            ErasureItem.state == ItemState.PUBLISHED,
            ErasureRequest.closed_at.is_(None),
            ErasureRequest.state.not_in(WITHDRAWN),
        )
    ).all()
    items = lock_items(session, published)
    reopen(session, model, items, cause)
    completion.settle(session, keyring, {item.request_id for item in items}, cause)
    return len(items)


def _unknowing(controller: UUID, key_id: str, tags: Sequence[bytes]) -> Select[RequestSubject]:
    """Identities with these tags that have no reference under the key."""
    own = aliased(RequestSubject)
    return (
        select(RequestSubject)
        .join(ErasureRequest, ErasureRequest.id == RequestSubject.request_id)
        .where(
            ErasureRequest.controller_id == controller,
            ErasureRequest.closed_at.is_(None),
            RequestSubject.suppression_tag.in_(tags),
            ~exists().where(
                own.request_id == RequestSubject.request_id,
                own.position == RequestSubject.position,
                own.key_id == key_id,
            ),
        )
        .order_by(RequestSubject.request_id, RequestSubject.position, RequestSubject.key_id)
    )


def _takes_models_in(request: ErasureRequest) -> bool:
    return request.closed_at is None and request.state not in WITHDRAWN


def _found_by_request(session: Session, model: Model) -> dict[UUID, Found]:
    rows = session.execute(
        select(RequestSubject.request_id, Sample.split, func.count(Sample.id.distinct()))
        .join(ErasureRequest, ErasureRequest.id == RequestSubject.request_id)
        .join(SampleSubject, SampleSubject.subject_ref == RequestSubject.subject_ref)
        .join(Sample, Sample.id == SampleSubject.sample_id)
        .where(
            Sample.dataset_id == model.dataset_id,
            ErasureRequest.controller_id == model.controller_id,
            ErasureRequest.closed_at.is_(None),
            ErasureRequest.model_scope.is_(None),
            ErasureRequest.state.not_in(WITHDRAWN),
        )
        .group_by(RequestSubject.request_id, Sample.split)
    )
    counts: dict[UUID, dict[SampleSplit, int]] = defaultdict(dict)
    for request, split, count in rows:
        counts[request][split] = count
    return {
        request: Found(
            train=splits[SampleSplit.TRAIN],
            held_out=sum(n for split, n in splits.items() if split is not SampleSplit.TRAIN),
        )
        for request, splits in counts.items()
        if splits.get(SampleSplit.TRAIN)
    }
