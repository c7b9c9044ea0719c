import pytest
from fastapi.testclient import TestClient

from app.runtime import Runtime
from tests.registry.front import Front
from tests.workers.registering import Clock


@pytest.fixture
def front(api: TestClient, runtime: Runtime) -> Front:
    return Front(api, runtime)


@pytest.fixture
def clock() -> Clock:
    return Clock()
