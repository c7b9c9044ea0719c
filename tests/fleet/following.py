"""Requests and runs as the tests of a fleet follow them."""

from client import Erasure, Run, Subject
from tests.end_to_end.service import until
from tests.fleet.stack import Fleet


def submitted(fleet: Fleet, person: str) -> str:
    return fleet.client.submit_erasure([Subject(person)]).id


def completed(fleet: Fleet, request: str, seconds: float = 90.0) -> Erasure:
    def look() -> Erasure | None:
        found = fleet.client.get_request(request)
        return found if found.ended or found.waits_for_person else None

    found = until(look, f"the end of {request}", seconds)
    assert found.state == "completed", found
    return found


def run_of(fleet: Fleet, request: str) -> Run:
    (item,) = fleet.client.get_request(request).items
    assert item.run is not None
    return fleet.client.get_run(item.run)
