"""A poll while the database is away is answered as every other call is: come back later."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from app.keys import looking_up

URL = "/api/v1/overview"


@pytest.mark.parametrize("tag", [None, '"had"'])
def test_a_poll_while_the_database_is_away(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, tag: str | None
) -> None:
    assert api.get(URL).status_code == 200

    def gone(*given: Any) -> Any:
        raise OperationalError("SELECT", None, Exception("gone"))

    monkeypatch.setattr(looking_up, "look_up", gone)
    answer = api.get(URL, headers={"If-None-Match": tag} if tag else {})
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "5"
