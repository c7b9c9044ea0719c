"""The running service that a command talks to, as `LOTUS_URL` and `LOTUS_API_KEY` name it."""

import os

from app.cli.output import Failure
from client import LotusClient

DEFAULT_URL = "http://127.0.0.1:8080"


def connect(url: str | None = None) -> LotusClient:
    """To this address, else to the one that is set."""
    key = os.environ.get("LOTUS_API_KEY", "")
    if not key:
        raise Failure("LOTUS_API_KEY is not set; `lotus keys create` makes a key")
    return LotusClient(url or os.environ.get("LOTUS_URL", DEFAULT_URL), key)
