"""A registration process that hangs, or that has lost its lease, ends itself with a failure."""

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.registry import checks
from tests.registry.front import Front
from tests.workers.registering import LEASE, Clock, post
from workers import registration
from workers.registration import process_pending

# Backtracks for longer than anybody waits, and no other Python thread runs meanwhile.
HANG = "import re; re.match('(a+)+$', 'a' * 100 + 'b')"


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_process_that_hangs_ends_with_a_failure_and_says_where() -> None:
    ended = run(
        "from datetime import timedelta\n"
        "from workers.watchdog import watch\n"
        "watch(timedelta(seconds=0.5))\n" + HANG
    )

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr


def test_a_process_that_steps_is_left_alone() -> None:
    ended = run(
        "import time\n"
        "from datetime import timedelta\n"
        "from workers.watchdog import unwatch, watch\n"
        "step = watch(timedelta(seconds=2))\n"
        "for _ in range(10):\n"
        "    time.sleep(0.3)\n"
        "    step()\n"
        "unwatch()\n"
    )

    assert ended.returncode == 0, ended.stderr


def test_a_check_that_hangs_ends_the_registration_process(front: Front, clock: Clock) -> None:
    identity = post(front)
    given = front.runtime.settings.model_dump(exclude_none=True)
    ended = run(
        "import sys\n"
        "from datetime import timedelta\n"
        "from workers import registration\n"
        "registration.LONGEST_STEP = timedelta(seconds=1)\n"
        "registration.LONGEST_STEP_IN_LEASES = 0\n"
        "def register(*_, **__):\n"
        f"    {HANG}\n"
        "registration.dataset_check.register = register\n"
        "sys.exit(registration.main())\n",
        **{f"LOTUS_{name.upper()}": str(value) for name, value in given.items()},
    )

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    clock.now += LEASE * 2
    assert process_pending(front.runtime, clock) == 1
    assert front.get(f"/datasets/{identity}")["state"] == "ready"


def test_losing_the_lease_ends_the_registration_process(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(front)

    def lost(*_: Any, **__: Any) -> None:
        raise checks.LostRegistration

    monkeypatch.setattr(registration, "end_with_parent", lambda: None)
    monkeypatch.setattr(registration.observability, "configure", lambda _: None)
    monkeypatch.setattr(registration, "Settings", lambda: front.runtime.settings)
    monkeypatch.setattr(registration.dataset_check, "register", lost)

    assert registration.main() == registration.EXIT_LEASE_LOST != 0


def test_a_lease_that_cannot_be_renewed_is_lost_when_it_has_run_out(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(front)
    renewals: list[timedelta] = []
    began = clock.now

    def away(*_: Any, **__: Any) -> None:
        renewals.append(clock.now - began)
        raise OperationalError("UPDATE", None, TimeoutError())

    def slow(*_: Any, beat: Any, **__: Any) -> None:
        for _turn in range(10):
            clock.now += LEASE / 4
            beat()

    monkeypatch.setattr(checks, "keep", away)
    monkeypatch.setattr(registration.dataset_check, "register", slow)
    with pytest.raises(checks.LostRegistration):
        process_pending(front.runtime, clock)

    assert renewals == [LEASE / 2, LEASE * 3 / 4, LEASE]
