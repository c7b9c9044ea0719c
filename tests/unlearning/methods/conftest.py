from collections.abc import Iterator

import pytest
import torch

from tests.unlearning.methods import cases
from tests.unlearning.methods.cases import Case


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def features() -> Case:
    return cases.features()


@pytest.fixture(scope="session")
def images() -> Case:
    return cases.images()


@pytest.fixture(params=["features", "images"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found
