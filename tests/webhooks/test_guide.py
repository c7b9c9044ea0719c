"""What the guide for writers of receivers says, compared with the code and tried."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.webhooks.events import MEANING, EventType
from app.webhooks.tables import DeliveryState
from tests.architecture.test_docs import table_rows
from tests.docs.pages import runnable
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand
from tests.webhooks.conftest import Office
from tests.webhooks.receiver import Receiver

GUIDE = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text()


def test_the_guide_lists_every_event_with_the_meaning_it_has_in_the_code() -> None:
    section = GUIDE.split("| type | when |")[1].split("\n\n")[0]
    listed = {row[0]: row[1] for row in table_rows(section)}
    assert listed == {event.value: text.replace("`", "") for event, text in MEANING.items()}
    assert list(MEANING) == list(EventType)


def test_the_command_line_names_every_state_of_a_delivery() -> None:
    command = (Path(__file__).parents[2] / "app" / "cli" / "webhooks.py").read_text()
    assert "queued, waiting, delivered, dead or stopped." in command
    assert list(DeliveryState) == ["queued", "waiting", "delivered", "dead", "stopped"]


@pytest.fixture
def example() -> dict[str, Any]:
    """The names that the guide's example defines, over a memory that the test can look at."""
    states: dict[str, tuple[int, str]] = {}
    seen: set[str] = set()

    def seen_before(identity: str) -> bool:
        known = identity in seen
        seen.add(identity)
        return known

    names: dict[str, Any] = {
        "seen_before": seen_before,
        "is_newer": lambda request, version: version > states.get(request, (0, ""))[0],
        "note": lambda request, version, state: states.update({request: (version, state)}),
        "states": states,
    }
    (block,) = runnable("docs/callbacks.md", "python")
    exec(block.text, names)
    return names


def test_the_example_of_the_guide_takes_what_the_service_sends(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand, example: dict[str, Any]
) -> None:
    secret = office.register(receiver.url())["secret"]
    request = cases.submit("ada")
    now = datetime.now(UTC)
    hand.publish(hand.must_claim(now), now)
    office.send()
    receive, states = example["receive"], example["states"]
    assert len(receiver.seen) == 4
    for seen in receiver.seen:
        assert receive(secret, seen.headers, seen.body) == 204
    assert states[request][1] == "completed"
    for seen in receiver.seen:  # repeats, and an old one under another id, change nothing
        assert receive(secret, seen.headers, seen.body) == 204
    old = receiver.seen[0]
    at = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_other", at, old.body.decode())
    headers = {
        "webhook-id": "msg_other",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }
    assert receive(secret, headers, old.body) == 204
    assert states[request][1] == "completed"
    assert receive(secret, headers, old.body + b" ") == 401


def test_the_example_message_has_the_fields_that_are_sent(
    office: Office, receiver: Receiver, cases: Cases, hand: Hand
) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    office.register(receiver.url(), events=["erasure_request.completed"])
    cases.submit("ada")
    now = datetime.now(UTC)
    hand.publish(hand.must_claim(now), now)
    office.send()
    sent, example = json.loads(receiver.seen[0].body), json.loads(shown)
    assert sent.keys() == example.keys()
    assert sent["data"].keys() == example["data"].keys()
    for name in ("state", "previous_state", "cause", "outcome", "reason_code"):
        assert sent["data"][name] == example["data"][name], name
