"""What the audit log says happened, read without the tables that it explains."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.tables import AuditEntry, PendingEntry

ENDED = ("cancelled", "refused")


class Unexplained(AssertionError):
    """The entries contradict each other."""


@dataclass(frozen=True)
class Published:
    version: str
    parent: str
    run: str
    forget_count: int


@dataclass
class Replay:
    """States by id, as after the last entry; and what was published, in order.

    `current` must be given the versions that were there before the log began; `lineages` maps a
    version to the number of the one trained elsewhere that it descends from.
    """

    current: dict[str, str]
    lineages: Mapping[str, int]
    requests: dict[str, str] = field(default_factory=dict)
    certified: dict[str, int] = field(default_factory=dict)  # how many certificates
    items: dict[str, str] = field(default_factory=dict)
    runs: dict[str, tuple[str, int]] = field(default_factory=dict)  # state and attempt
    formed: dict[str, list[str]] = field(default_factory=dict)  # the items of each run
    published: list[Published] = field(default_factory=list)

    def over(self, entries: Iterable[Mapping[str, Any]]) -> "Replay":
        for entry in entries:
            step = getattr(self, "_" + entry["kind"].replace(":", "_"), None)
            if step is not None:
                step(entry["facts"])
        return self

    def _erasure_request_received(self, facts: Mapping[str, Any]) -> None:
        _expect(facts["request"] not in self.requests, facts)
        self.requests[facts["request"]] = "received"

    def _erasure_request_moved(self, facts: Mapping[str, Any]) -> None:
        request = facts["request"]
        _expect(self.requests[request] == facts["from_state"], facts)
        self.requests[request] = facts["to_state"]
        ended = facts["to_state"] in ("completed", "refused")
        if ended or facts["from_state"] == "completed":
            self.certified[request] = self.certified.get(request, 0) + 1

    def _erasure_item_moved(self, facts: Mapping[str, Any]) -> None:
        _expect(self.items.get(facts["item"]) == facts["from_state"], facts)
        self.items[facts["item"]] = facts["to_state"]

    def _erasure_run_formed(self, facts: Mapping[str, Any]) -> None:
        _expect(facts["run"] not in self.runs, facts)
        _expect(facts["base_version"] == self.current[facts["model"]], facts)
        _expect(not any(self.items[item] in ENDED for item in facts["items"]), facts)
        self.runs[facts["run"]] = ("queued", 0)
        self.formed[facts["run"]] = facts["items"]

    def _erasure_run_moved(self, facts: Mapping[str, Any]) -> None:
        state, attempt = self.runs[facts["run"]]
        _expect(state == facts["from_state"], facts)
        # An attempt begins with its claim, and every other move belongs to the one that holds it.
        _expect(facts["attempt"] == attempt + (facts["event"] == "claimed"), facts)
        self.runs[facts["run"]] = (facts["to_state"], facts["attempt"])

    def _erasure_version_published(self, facts: Mapping[str, Any]) -> None:
        _expect(facts["parent"] == self.current[facts["model"]], facts)
        _expect(facts["run"] not in {earlier.run for earlier in self.published}, facts)
        # None of its items was taken out before this publication.
        _expect(not any(self.items[item] in ENDED for item in self.formed[facts["run"]]), facts)
        self.current[facts["model"]] = facts["version"]
        self.published.append(
            Published(facts["version"], facts["parent"], facts["run"], facts["forget_count"])
        )

    def _registry_version_ready(self, facts: Mapping[str, Any]) -> None:
        present = self.current.get(facts["model"])
        if present is None or self.lineages[present] <= self.lineages[facts["version"]]:
            self.current[facts["model"]] = facts["version"]


def _expect(holds: bool, facts: Mapping[str, Any]) -> None:
    if not holds:
        raise Unexplained(json.dumps(facts))


def entries(session: Session) -> list[dict[str, Any]]:
    """The whole log: what is sequenced, then what is not yet."""
    sequenced = session.scalars(select(AuditEntry.body).order_by(AuditEntry.index))
    pending = session.scalars(select(PendingEntry.body).order_by(PendingEntry.id))
    return [json.loads(body) for body in [*sequenced, *pending]]
