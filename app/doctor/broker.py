"""The broker that rings the workers' bell. Nothing is lost while it is away; only time is."""

import importlib

from app.config import Settings
from app.doctor.findings import Finding, ok, problem, warning

SECONDS = 3


def broker(settings: Settings) -> Finding:
    url = settings.broker_url
    if not url:
        if settings.is_single_machine:
            return ok("broker", "none, and none needed on a single machine")
        return warning(
            "broker",
            "none: workers find work only when they look by themselves",
            "Set LOTUS_BROKER_URL for all processes.",
        )
    try:
        _ask(url)
    except ImportError:
        return warning(
            "broker", "set, but nothing here can ask it", "Install the extra that brings Celery."
        )
    except Exception as error:  # each transport has errors of its own
        return problem(
            "broker",
            f"does not answer ({type(error).__name__})",
            "Start it, or set LOTUS_BROKER_URL right. Requests are accepted and wait meanwhile; "
            "nothing in it needs to be saved, and it may be emptied.",
        )
    return ok("broker", "answers")


def _ask(url: str) -> None:
    kombu = importlib.import_module("kombu")
    options = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS, "max_retries": 0}
    with kombu.Connection(url, connect_timeout=SECONDS, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, timeout=SECONDS)
        connection.default_channel  # noqa: B018 - a connection alone may be lazy
