"""One fleet for all tests of this folder that strike it gently enough."""

from collections.abc import Iterator

import pytest

from tests.fleet.stack import Fleet

# What `lotus worker gpu` becomes, with a broker that would deliver twice.
GPU_WORKER = [
    *("celery", "--app", "tests.fleet.short_visibility", "--quiet", "worker"),
    *("--pool", "threads", "--queues", "gpu", "--concurrency", "1", "--hostname", "gpu@%h"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two GPU workers, leases of 4 s, and a broker that delivers again after 2 s."""
    folder = tmp_path_factory.mktemp("fleet")
    short = {"LOTUS_LEASE_SECONDS": "4", "LOTUS_SWEEP_SECONDS": "1"}
    with Fleet(folder, gpus=2, gpu_worker=GPU_WORKER, **short) as started:
        yield started
