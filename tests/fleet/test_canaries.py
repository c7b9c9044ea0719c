"""What a fleet's broker, database, logs and files hold of a person, while it works and after."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis
from sqlalchemy import inspect, text

from client import Subject
from tests.end_to_end.canaries import forms
from tests.end_to_end.service import until
from tests.fleet import small
from tests.fleet.following import completed
from tests.fleet.stack import Fleet, register

pytestmark = pytest.mark.timeout(300)


@contextmanager
def everything_said_to(url: str) -> Iterator[list[bytes]]:
    """Every command that the broker is sent: its messages are gone once they are taken."""
    said: list[bytes] = []
    ending = threading.Event()
    with Redis.from_url(url, socket_timeout=1) as redis, redis.monitor() as monitor:

        def listen() -> None:
            while not ending.is_set():
                try:
                    said.append(str(monitor.next_command()).encode())
                except TimeoutError:
                    continue
                except Exception:
                    if not ending.is_set():
                        said.append(b"the monitor ended")
                    return

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        yield said
        ending.set()
        listener.join(10)


def in_the_database(fleet: Fleet) -> bytes:
    """Every visible row as text. Rows that were deleted lie in the files until PostgreSQL vacuums,
    and in its write-ahead log: the guide says so."""
    with fleet.engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        assert len(tables) > 15
        rows = [
            row
            for table in tables
            for row in connection.scalars(text(f'SELECT "{table}"::text FROM "{table}"'))
        ]
    return "\n".join(rows).encode()


def kept_by(redis: Redis) -> bytes:
    return b"".join(key + (redis.dump(key) or b"") for key in redis.scan_iter())


def staged(fleet: Fleet) -> list[Path]:
    return [path for path in (fleet.data / "staging").rglob("*") if path.is_file()]


def test_broker_database_logs_and_files_of_a_fleet_hold_no_person(
    fleet: Fleet, tmp_path: Path
) -> None:
    name = f"canary{uuid4().hex[:10]}"
    people = small.write(tmp_path / "model", persons=60, prefix=name, seed=3)
    person, case = people[0], f"DSR-{uuid4().hex[:10]}"
    # The prefix stands in identities and sample ids alike; the data set's own name is another.
    wanted = {
        form
        for one in (person, f"{name}-row-0", f"{name}-stranger")
        for form in forms(one.encode())
    }
    key = str(fleet.client.http.headers["Authorization"]).removeprefix("Bearer ")

    def hits(said: list[bytes]) -> list[str]:
        files = [path for path in fleet.data.rglob("*") if path.is_file()]
        with Redis.from_url(fleet.redis.url) as redis:
            places = {
                "database": in_the_database(fleet),
                "broker": kept_by(redis),
                "messages": b"\n".join(said),
                "logs": fleet.logs().encode(),
                **{str(path): path.read_bytes() for path in files},
            }
        return [
            place
            for place, content in places.items()
            if any(form in content for form in wanted | forms(key.encode()))
            or (case.encode() in content and place != "database")
        ]

    policy = {"verification": small.LENIENT, "rollback_days": 0}
    with everything_said_to(fleet.redis.url) as said:
        register(fleet.client, tmp_path / "model", f"set-{uuid4().hex[:8]}", **policy)
        until(lambda: not staged(fleet) or None, "the end of the uploads")
        request = fleet.client.submit_erasure([Subject(person)], external_id=case).id
        assert hits(said) == []
        completed(fleet, request)
        assert hits(said) == []
        until(lambda: fleet.client.get_request(request).closed_at, "the closing", 100)
        assert hits(said) == []
    assert any(b"lotus.work" in one for one in said)  # it heard the bell
    assert b"the monitor ended" not in said
