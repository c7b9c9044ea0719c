"""A setting that cannot work is one line at the start, and not a fault of every second after it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Environment, Result, Served

Lotus = Callable[..., Result]

NO_CERTIFICATE = "not a certificate"
REDIS = "redis://127.0.0.1:1/0"  # nobody is asked: the start ends before


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`without("redis")`: as if these packages were not installed."""
    real = importlib.util.find_spec

    def hide(*names: str) -> None:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in names else real(name)
        )

    return hide


@pytest.fixture
def lotus_here(
    lotus_here: Lotus, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> Lotus:
    monkeypatch.setenv("LOTUS_DATA_DIR", environment["LOTUS_DATA_DIR"])
    return lotus_here


@pytest.mark.parametrize(
    ("variable", "command", "missing"),
    [
        ("LOTUS_RATE_LIMIT_URL", ["serve"], ["redis"]),
        ("LOTUS_BROKER_URL", ["serve"], ["celery", "redis"]),
        ("LOTUS_BROKER_URL", ["worker", "ops"], ["celery", "redis"]),
        ("LOTUS_BROKER_URL", ["worker", "gpu"], ["celery"]),
    ],
)
def test_a_setting_whose_packages_are_not_installed_is_named_with_the_extra_that_brings_them(
    lotus_here: Lotus,
    without: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    command: list[str],
    missing: list[str],
) -> None:
    monkeypatch.setenv(variable, REDIS)
    without(*missing)
    result = lotus_here(*command)
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"error: {variable} is set, and not installed: {', '.join(missing)}")
    assert "`fleet`" in line
    assert REDIS not in line


def test_a_url_of_limits_needs_no_package_if_there_is_no_limit(
    lotus_here: Lotus, without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTUS_RATE_LIMIT_URL", REDIS)
    monkeypatch.setenv("LOTUS_RATE_LIMIT", "")
    monkeypatch.setenv("LOTUS_SIGNING_KEY", "nowhere.pem")  # what ends this start
    without("redis")
    assert "redis" not in lotus_here("serve").err


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (NO_CERTIFICATE, "it holds no certificate in PEM")],
)
def test_a_file_of_authorities_that_cannot_be_used_keeps_the_service_from_starting(
    lotus: Lotus, tmp_path: Path, content: str | None, why: str
) -> None:
    authorities = tmp_path / "authorities.pem"
    if content is not None:
        authorities.write_text(content)
    result = lotus("serve", "--port", "0", LOTUS_CALLBACK_CA_FILE=str(authorities))
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"error: LOTUS_CALLBACK_CA_FILE: {authorities}: {why}")
    assert NO_CERTIFICATE not in line


def test_a_worker_that_sends_callbacks_does_not_start_without_the_authorities_that_are_set(
    lotus: Lotus, tmp_path: Path
) -> None:
    lotus("migrate")
    settings = {"LOTUS_BROKER_URL": REDIS, "LOTUS_CALLBACK_CA_FILE": str(tmp_path)}
    result = lotus("worker", "ops", **settings)
    assert result.code == 1
    assert result.err.startswith("error: LOTUS_CALLBACK_CA_FILE: ")


def test_a_start_that_fails_leaves_the_first_key_to_be_shown_by_the_one_that_does_not(
    lotus: Lotus, serve: Callable[[], Served], tmp_path: Path
) -> None:
    absent = str(tmp_path / "absent.pem")
    assert lotus("serve", "--port", "0", LOTUS_CALLBACK_CA_FILE=absent).code == 1
    assert lotus("serve", "--port", "0", "--host", "192.0.2.1").code == 1
    assert lotus("serve", "--port", "0", LOTUS_SIGNING_KEY=absent).code == 1
    assert serve().said["key"].startswith("lot_")
