"""The short form of `make chaos`."""

from pathlib import Path

import pytest

from tests.fleet.chaos import chaos, report


@pytest.mark.timeout(600)
def test_under_faults_no_request_is_lost_and_none_is_done_twice(tmp_path: Path) -> None:
    found = chaos(tmp_path, minutes=0.5, seed=7, requests=25, models=5)
    assert found["ok"], report(found)
    assert sum(found["faults"].values()) > 0
    assert sum(found["ends"].values()) == 25
