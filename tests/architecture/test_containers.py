"""What the compose files and the Dockerfile promise. `make compose` runs them for real."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from app.keyring import load_keyring

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
STACK: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
GPU: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())
SERVICES: dict[str, Any] = STACK["services"]
ONE_SHOT = {"migrate"}
# Its entrypoint gives the data folder to a user of its own, and becomes that user.
STARTS_AS_ROOT = {"postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}}
SECRET = re.compile(r"PASSWORD|SECRET|KEY$|TOKEN")
REQUIRED = re.compile(r"\$\{(\w+):\?[^}]+\}")
every_service = pytest.mark.parametrize("name", SERVICES)


def test_the_services_are_those_of_a_fleet() -> None:
    assert set(SERVICES) == {"postgres", "redis", "migrate", "api", "gpu-worker", "ops-worker"}


@every_service
def test_a_service_has_a_health_check_or_runs_once(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no" and "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        assert set(service["healthcheck"]) >= {"test", "interval", "timeout", "retries"}


@every_service
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) == STARTS_AS_ROOT.get(name, set())
    assert service["security_opt"] == ["no-new-privileges"]
    assert service["read_only"] is True
    assert not service.get("privileged")
    if name not in STARTS_AS_ROOT:
        assert service["user"].split(":")[0] not in ("", "0", "root")


@every_service
def test_a_service_has_limits_and_so_has_its_log(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]


@every_service
def test_a_service_s_secrets_come_from_outside_and_must_be_given(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable) and not value.startswith("/"):  # a path holds no secret
            assert REQUIRED.fullmatch(value), variable
        if "://" in str(value):
            assert re.search(r":\$\{\w+:\?[^}]+\}@", value), variable


def test_nothing_is_published_but_the_api_and_that_on_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["${LOTUS_PUBLISH:-127.0.0.1:8080}:8080"]}


@pytest.mark.parametrize("name", ["api", "gpu-worker", "ops-worker"])
def test_ours_start_once_the_stores_are_healthy_and_the_tables_made(name: str) -> None:
    assert {other: need["condition"] for other, need in SERVICES[name]["depends_on"].items()} == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
        "migrate": "service_completed_successfully",
    }
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", ["migrate", "api", "gpu-worker", "ops-worker"])
def test_ours_share_settings_and_artifacts(name: str) -> None:
    assert "artifacts:/var/lib/lotus" in SERVICES[name]["volumes"]
    shared = dict(SERVICES["api"]["environment"])
    if name == "migrate":  # as the owner of the tables
        shared.pop("LOTUS_DATABASE_URL")
    assert SERVICES[name]["environment"].items() >= shared.items()
    assert SERVICES[name]["build"]["target"] == ("worker" if "worker" in name else "api")


def test_only_what_migrates_owns_the_tables_and_only_what_seals_has_the_signing_key() -> None:
    ours = ("migrate", "api", "gpu-worker", "ops-worker")
    roles = {
        name: SERVICES[name]["environment"]["LOTUS_DATABASE_URL"].split("//")[1].split(":")[0]
        for name in ours
    }
    served = dict.fromkeys(ours[1:], "lotus_service")
    assert roles == {"migrate": SERVICES["postgres"]["environment"]["POSTGRES_USER"], **served}
    assert SERVICES["migrate"]["command"][-2:] == ["--service-role", "lotus_service"]
    keyed = [
        name for name in SERVICES if "LOTUS_SIGNING_KEY" in SERVICES[name].get("environment", {})
    ]
    sealing = [
        name
        for name in SERVICES
        if any("sealer" in each for each in SERVICES[name].get("volumes", []))
    ]
    assert keyed == sealing == ["ops-worker"]
    folder = Path(SERVICES["ops-worker"]["environment"]["LOTUS_SIGNING_KEY"]).parent
    assert f"sealer:{folder}" in SERVICES["ops-worker"]["volumes"]
    assert re.search(rf"install --directory --owner lotus .*{folder}", instructions("api"))


def test_those_who_sign_for_opendsr_share_its_key_and_nobody_else_has_it() -> None:
    having = [
        name
        for name in SERVICES
        if any(each.startswith("opendsr:") for each in SERVICES[name].get("volumes", []))
    ]
    assert having == ["api", "ops-worker"]
    for name in having:
        folder = Path(SERVICES[name]["environment"]["LOTUS_OPENDSR_KEY"]).parent
        assert f"opendsr:{folder}" in SERVICES[name]["volumes"]
        assert re.search(rf"install --directory --owner lotus .*{folder}", instructions("api"))


def test_the_override_gives_devices_to_the_gpu_worker_and_nothing_else() -> None:
    assert list(GPU) == ["services"] and list(GPU["services"]) == ["gpu-worker"]
    resources = GPU["services"]["gpu-worker"]["deploy"]["resources"]
    (device,) = resources["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def variables_of(text: str) -> dict[str, str]:
    """`NAME=value` of every line, commented out or not."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_the_example_of_an_environment_names_every_variable_and_holds_no_secret() -> None:
    text = COMPOSE.read_text()
    example = (ROOT / ".env.example").read_text()
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) - {"LOTUS_TAG"}
    assert set(variables_of(example)) == used
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert given == dict.fromkeys(REQUIRED.findall(text), "")


def test_the_defaults_that_the_example_shows_are_those_of_the_compose_file() -> None:
    shown = variables_of((ROOT / ".env.example").read_text())
    defaults = re.findall(r"\$\{(\w+):-([^}]+)\}", COMPOSE.read_text())
    assert {(name, shown[name]) for name, _ in defaults if name != "LOTUS_TAG"} == {
        (name, value) for name, value in defaults if name != "LOTUS_TAG"
    }


def make_env(target: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "--silent", "env", f"ENV_FILE={target}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_made_secrets_are_complete_usable_private_and_never_the_same(tmp_path: Path) -> None:
    files = [tmp_path / "one.env", tmp_path / "two.env"]
    for file in files:
        assert make_env(file).returncode == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    one, two = (dict(re.findall(r"^([A-Z_]+)=(.+)$", f.read_text(), re.MULTILINE)) for f in files)
    assert set(one) == set(REQUIRED.findall(COMPOSE.read_text()))
    assert not set(one.values()) & set(two.values())
    for password in (
        one["POSTGRES_PASSWORD"],
        one["LOTUS_SERVICE_PASSWORD"],
        one["REDIS_PASSWORD"],
    ):
        assert re.fullmatch(r"[0-9a-f]{48}", password)
    keys = {name: one[f"LOTUS_{name.upper()}"] for name in ("secret_key", "suppression_key")}
    settings = Settings(data_dir=tmp_path, pseudonym_key=one["LOTUS_PSEUDONYM_KEY"], **keys)
    assert load_keyring(settings).pseudonym_key_id == "k1"


def test_secrets_that_are_in_use_are_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("POSTGRES_PASSWORD=in-use\n")
    refused = make_env(target)
    assert refused.returncode != 0 and "there already" in refused.stdout + refused.stderr
    assert target.read_text() == "POSTGRES_PASSWORD=in-use\n"


def stages() -> dict[str, tuple[str, str]]:
    """Each stage of the Dockerfile: the one it starts from, and its instructions."""
    parts = re.split(r"^FROM (\S+) AS (\S+)\n", (ROOT / "Dockerfile").read_text(), flags=re.M)
    return {parts[at + 1]: (parts[at], parts[at + 2]) for at in range(1, len(parts), 3)}


def instructions(target: str) -> str:
    """What makes an image, from its base image on."""
    found = stages()
    if target not in found:
        return ""
    base, own = found[target]
    return instructions(base) + own


def test_the_image_of_the_api_installs_no_list_that_holds_pytorch(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    written = re.search(r'RUN python -c "(.*?)"\n', stages()["requirements"][1], re.DOTALL)
    assert written is not None
    program = written[1].replace("\\\n", "")
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    lists = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
    with_torch = {name for name, text in lists.items() if re.search("^torch", text, re.MULTILINE)}
    assert with_torch == {"worker.txt"}
    assert set(re.findall(r"\w+\.txt", instructions("api"))) == {"api.txt"}
    assert set(re.findall(r"\w+\.txt", instructions("worker"))) == {"api.txt", "worker.txt"}


@pytest.mark.parametrize("target", ["api", "worker"])
def test_an_image_runs_as_a_user_without_rights(target: str) -> None:
    assert re.findall(r"^USER (.*)$", instructions(target), re.MULTILINE) == ["10001:10001"]
    assert instructions(target).rstrip().endswith("USER 10001:10001")


@pytest.mark.parametrize("target", ["api", "worker"])
def test_a_change_of_the_code_installs_no_package_again(target: str) -> None:
    _, own = stages()[target]
    before, code = own.split("COPY --from=package")
    assert "pip install --no-deps" in code
    assert code.count("pip install") == 1 and "COPY . ." not in instructions(target) + before


def test_only_what_the_package_is_made_of_goes_into_an_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    code = {"app", "client", "migrations", "workers"}
    assert kept == code | {"LICENSE", "README.md", "pyproject.toml"}
