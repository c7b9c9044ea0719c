"""Requests under faults: nothing lost, nothing done twice, and a log that explains what happened.

    python -m tests.fleet.chaos [--minutes 8] [--seed 1] [--requests 300] [--models 5] [--json PATH]

Real PostgreSQL, Redis, API and Celery workers on this machine. While requests come in, some of them
twice and some taken back, faults strike at random: see `faults.py`. Then the faults stop, whatever
lies is started again, and everything must come to its end. The same seed gives the same requests
and the same order of faults; when they strike depends on the machine. Exit code 0 only if every
invariant holds.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client import LotusClient, LotusError, Subject
from tests.fleet import small, verdicts
from tests.fleet.faults import Faults, Struck
from tests.fleet.stack import Fleet, register

# Submitting takes this share of the time; then the faults go on among runs alone.
SUBMITTING = 0.7
CANCELLED, REPEATED, OF_TWO_MODELS = 0.08, 0.15, 0.1
SETTLE_SECONDS = 300.0


@dataclass
class Sent:
    """One request, from its first try to its end."""

    external_id: str
    subjects: list[Subject]
    request: str | None = None
    cancelled: bool = False
    answers: set[str] = field(default_factory=set)


class Callers:
    """Compliance systems: they try again until they are answered, and sometimes once more."""

    def __init__(self, fleet: Fleet, sent: list[Sent], rng: random.Random) -> None:
        self.fleet, self.sent, self._rng = fleet, sent, rng
        self.refused: Counter[str] = Counter()

    def submit_all(self, seconds: float) -> None:
        pause = seconds / len(self.sent)
        for one in self.sent:
            self._submit(one)
            if self._rng.random() < REPEATED:
                self._submit(one)
            if self._rng.random() < CANCELLED:
                self._cancel(one)
            time.sleep(self._rng.uniform(0, 2 * pause))

    def _submit(self, one: Sent) -> None:
        while True:
            try:
                found = self.fleet.client.submit_erasure(one.subjects, external_id=one.external_id)
            except LotusError as error:
                self.refused[type(error).__name__] += 1
                time.sleep(0.3)
                continue
            one.answers.add(found.id)
            one.request = found.id
            return

    def _cancel(self, one: Sent) -> None:
        """One try: a caller that is told no, or nothing, leaves it at that."""
        assert one.request is not None
        try:
            one.cancelled = self.fleet.client.cancel(one.request).state == "cancelled"
        except LotusError as error:
            self.refused[f"cancel: {type(error).__name__}"] += 1


def chaos(folder: Path, *, minutes: float, seed: int, requests: int, models: int) -> dict[str, Any]:
    rng = random.Random(seed)
    settings = {
        "LOTUS_LEASE_SECONDS": "6",
        "LOTUS_SWEEP_SECONDS": "2",
        "LOTUS_COALESCE_SECONDS": "2",
        "LOTUS_LOG_LEVEL": "info",
    }
    with Fleet(folder, gpus=2, small_disk=True, **settings) as fleet:
        say(f"registering {models} models")
        people = _register(fleet.client, folder, models, requests)
        sent = _requests(people, requests, rng)
        callers = Callers(fleet, sent, random.Random(seed + 1))
        faults = Faults(fleet, random.Random(seed + 2))
        began = time.monotonic()
        end = began + 60 * minutes
        submitting = threading.Thread(
            target=callers.submit_all, args=(60 * minutes * SUBMITTING,), daemon=True
        )
        submitting.start()
        say(f"{requests} requests and faults for {minutes:g} minutes, seed {seed}")
        struck: list[Struck] = []
        while time.monotonic() < end:
            if (one := faults.strike()) is not None:
                struck.append(one)
                say(f"  {time.monotonic() - began:5.0f} s  {one}")
            time.sleep(rng.uniform(0.5, 4.0))
        faults.heal()
        healed = time.monotonic()
        say("no more faults; waiting for everything to end")
        submitting.join(SETTLE_SECONDS)
        assert not submitting.is_alive(), "requests could not be sent after the faults had stopped"
        verdicts.wait_until_settled(fleet.engine, SETTLE_SECONDS)
        settled = time.monotonic() - healed
        found = verdicts.verdicts(fleet.engine, sent)
        return found | {
            "seed": seed,
            "minutes": minutes,
            "requests": len(sent),
            "models": models,
            "faults": dict(Counter(one.name for one in struck)),
            "refused_meanwhile": dict(callers.refused),
            "seconds_to_settle": settled,
            "recovery_seconds": _recovery(struck),
        }


def _register(client: LotusClient, folder: Path, models: int, requests: int) -> list[list[str]]:
    """Persons by model: each of them asks once, and a few of each model never."""
    per_model = -(-requests // models) + 10
    people = []
    for number in range(models):
        where = folder / f"model-{number}"
        people.append(small.write(where, persons=per_model, prefix=f"m{number}", seed=number))
        register(client, where, f"m{number}", verification=small.LENIENT, ladder=[])
    return people


def _requests(people: list[list[str]], count: int, rng: random.Random) -> list[Sent]:
    sent = []
    for number in range(count):
        model = number % len(people)
        names = [people[model][number // len(people)]]
        if rng.random() < OF_TWO_MODELS:  # a person known to two models under two names
            other = (model + 1) % len(people)
            names.append(people[other][-1 - rng.randrange(8)])
        sent.append(Sent(f"ticket-{number:04}", [Subject(name) for name in names]))
    rng.shuffle(sent)
    return sent


def _recovery(struck: list[Struck]) -> dict[str, dict[str, float]]:
    by_name: dict[str, list[float]] = {}
    for one in struck:
        if one.recovered is not None:
            by_name.setdefault(one.name, []).append(one.recovered)
    return {
        name: {
            "times": len(seconds),
            "median": round(sorted(seconds)[len(seconds) // 2], 1),
            "longest": round(max(seconds), 1),
        }
        for name, seconds in sorted(by_name.items())
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def report(found: dict[str, Any]) -> str:
    lines = [
        f"{found['requests']} requests, {found['models']} models, "
        f"{sum(found['faults'].values())} faults in {found['minutes']:g} minutes, "
        f"seed {found['seed']}",
        "",
        *(f"{name:<32} {value}" for name, value in found["must_be_zero"].items()),
        f"{'log check':<32} {'passed' if found['log_ok'] else 'FAILED'}",
        f"{'invariants':<32} {found['invariants']}",
        "",
        "ends                             "
        + ", ".join(f"{state} {count}" for state, count in sorted(found["ends"].items())),
        "runs                             "
        + ", ".join(f"{state} {count}" for state, count in sorted(found["runs"].items())),
        f"settled after the last fault     {found['seconds_to_settle']:.0f} s",
        "",
        f"{'fault':<26} {'times':>5} {'some run moved on after s':>34}",
    ]
    for name, count in sorted(found["faults"].items()):
        took = found["recovery_seconds"].get(name)
        times = f"{took['median']:.1f}, {took['longest']:.1f}" if took else "-"
        lines.append(f"{name:<26} {count:>5} {times:>34}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Requests under faults on a real fleet.")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="lotus-chaos-"))
    try:
        found = chaos(
            folder,
            minutes=options.minutes,
            seed=options.seed,
            requests=options.requests,
            models=options.models,
        )
    finally:
        if options.keep:
            say(f"logs in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(report(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
