from itertools import product

import pytest

from app.erasure.states import ITEM, REQUEST, RUN, ItemState, RequestState, request_state_of

TABLES = {"request": REQUEST, "item": ITEM, "run": RUN}


@pytest.mark.parametrize("name", TABLES)
def test_every_state_has_a_place_and_leads_only_to_states_of_its_kind(name: str) -> None:
    table = TABLES[name]
    kind = type(next(iter(table)))
    assert set(table) == set(kind)
    for state, place in table.items():
        assert all(isinstance(following, kind) for following in place.next)
        assert state not in place.next


@pytest.mark.parametrize("name", TABLES)
def test_every_state_that_waits_names_who_acts_and_for_how_long(name: str) -> None:
    for state, place in TABLES[name].items():
        assert (place.owner is None) == (place.longest is None), state
        if place.owner is not None:
            assert place.next, f"{state} waits for ever"
            assert place.longest is not None and place.longest.total_seconds() > 0


@pytest.mark.parametrize("name", TABLES)
def test_from_every_state_an_end_can_be_reached(name: str) -> None:
    table = TABLES[name]
    reaches = {state for state, place in table.items() if place.ends}
    while True:
        more = {s for s, place in table.items() if place.next & reaches} - reaches
        if not more:
            break
        reaches |= more
    assert reaches == set(table)


def test_what_failed_or_was_refused_is_never_derived_as_completed() -> None:
    for items in product(ItemState, repeat=3):
        derived = request_state_of(list(items))
        if {ItemState.FAILED, ItemState.REFUSED, ItemState.NEEDS_DECISION} & set(items):
            assert derived not in (RequestState.COMPLETED, RequestState.CANCELLED), items


def test_completed_means_that_every_item_left_is_published() -> None:
    for items in product(ItemState, repeat=3):
        if request_state_of(list(items)) is RequestState.COMPLETED:
            assert set(items) <= {ItemState.PUBLISHED, ItemState.CANCELLED}
            assert ItemState.PUBLISHED in items


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("published scheduled", RequestState.SCHEDULED),
        ("published running scheduled", RequestState.RUNNING),
        ("published failed running", RequestState.FAILED),
        ("needs_decision failed", RequestState.NEEDS_DECISION),
        ("published published", RequestState.COMPLETED),
        ("published refused", RequestState.REFUSED),
        ("cancelled", RequestState.CANCELLED),
    ],
)
def test_a_request_says_what_most_needs_attention(items: str, expected: RequestState) -> None:
    assert request_state_of([ItemState(item) for item in items.split()]) is expected


def test_a_request_without_items_has_no_derived_state() -> None:
    with pytest.raises(ValueError, match="without items"):
        request_state_of([])
