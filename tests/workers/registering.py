"""A registration whose workers and whose time are in the test's hands."""

from datetime import UTC, datetime, timedelta

from app.registry import checks
from tests.registry.content import feature_columns, parquet
from tests.registry.front import Front

LEASE = timedelta(seconds=60)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def post(front: Front) -> str:
    answer = front.post_dataset(front.upload(parquet(feature_columns())))
    identity: str = answer.json()["id"]
    return identity


def take(front: Front, clock: Clock) -> checks.DatasetCheck | None:
    with front.runtime.database.write() as session:
        return checks.take_dataset(session, now=clock(), lease=LEASE)
