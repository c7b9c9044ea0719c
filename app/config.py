"""Settings: `LOTUS_*` environment variables, every one optional."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url

MEBIBYTE = 1024 * 1024
RateText = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,6}/(second|minute|hour))?$")]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LOTUS_", frozen=True, hide_input_in_errors=True)

    data_dir: Annotated[Path, Field(description="Database, artifacts and keys of one machine.")] = (
        Path("data")
    )
    database_url: Annotated[
        str | None,
        Field(repr=False, description="SQLAlchemy URL. Default: SQLite in the data folder."),
    ] = None
    broker_url: Annotated[
        str | None,
        Field(
            repr=False,
            description="Redis URL for Celery, `redis://host:6379/0`. Default: none, and one "
            "worker loop beside `lotus serve`.",
        ),
    ] = None
    public_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$",
            description="Where others reach this service, `https://erasure.example.org`, without a "
            "path. OpenDSR names it as its own domain.",
        ),
    ] = None
    device: Annotated[
        str, Field(description="`auto`, `cpu` or `cuda[:N]`: where runs compute.")
    ] = "auto"
    torch_threads: Annotated[
        int,
        Field(ge=0, le=256, description="CPU threads of a run; 0 leaves the choice to PyTorch."),
    ] = 0
    coalesce_seconds: Annotated[
        float,
        Field(ge=0, le=86_400, description="How long a model's requests wait for each other."),
    ] = 0.0
    lease_seconds: Annotated[
        float, Field(ge=2, le=3600, description="How long a silent worker keeps its run.")
    ] = 60.0
    sweep_seconds: Annotated[
        float, Field(gt=0, le=300, description="How often expired leases are looked for.")
    ] = 15.0
    max_upload_bytes: Annotated[
        int, Field(ge=1, description="Largest artifact that may be uploaded.")
    ] = 4096 * MEBIBYTE
    max_body_bytes: Annotated[
        int, Field(ge=1024, description="Largest body of every other request.")
    ] = 1 * MEBIBYTE
    secret_key: Annotated[
        str | None,
        Field(repr=False, description="Base64, 32 bytes: digests of API keys and of bodies."),
    ] = None
    pseudonym_key: Annotated[
        str | None,
        Field(
            repr=False,
            description="`id:base64[,id:base64]`, 32 bytes each, the one in use first: "
            "references of subjects and samples.",
        ),
    ] = None
    suppression_key: Annotated[
        str | None, Field(repr=False, description="Base64, 32 bytes: tags of suppressed persons.")
    ] = None
    signing_key: Annotated[
        str | None,
        Field(
            repr=False,
            description="Ed25519 key that signs checkpoints and certificates: path of a PKCS8 PEM "
            "file, or a URI of securesystemslib. Only the worker that seals needs it.",
        ),
    ] = None
    signing_public_key: Annotated[
        Path | None,
        Field(description="PEM file of the public key, where LOTUS_SIGNING_KEY is a URI."),
    ] = None
    sealer_file: Annotated[
        Path | None,
        Field(
            description="Where the sealer keeps what it signed last, outside the database. "
            "Default: beside the key, `<key>.checkpoint`."
        ),
    ] = None
    log_origin: Annotated[
        str | None,
        Field(
            pattern=r"^[!-*,-~]{1,200}$",
            description="Name of the audit log in its checkpoints, such as "
            "`log.example.org/lotus`, fixed by the first one. Default: made once.",
        ),
    ] = None
    rate_limit: Annotated[
        RateText,
        Field(
            description="Most calls of one key: a number and `/second`, `/minute` or `/hour`. "
            "Empty for no limit."
        ),
    ] = "3000/minute"
    login_failure_limit: Annotated[
        RateText,
        Field(description="Most refused log-ins from one address, in the same form."),
    ] = "20/minute"
    session_hours: Annotated[
        float,
        Field(
            gt=0,
            le=168,
            description="How long a browser stays logged in; never longer than its key is valid.",
        ),
    ] = 12.0
    rate_limit_url: Annotated[
        str | None,
        Field(
            repr=False,
            description="Redis URL where the calls of a fleet are counted together. Default: the "
            "broker's.",
        ),
    ] = None
    suppression_days: Annotated[
        int,
        Field(
            ge=1,
            le=36_500,
            description="How long rows of a person whose case was closed are recognised when data "
            "is registered again. Concerns cases that close from now on.",
        ),
    ] = 3 * 365
    check_memory_bytes: Annotated[
        int,
        Field(
            ge=512 * MEBIBYTE,
            description="Most memory that checking one upload may take, on Linux; never more than "
            "three quarters of what the machine has.",
        ),
    ] = 16 * 1024 * MEBIBYTE
    metrics_open: Annotated[
        bool,
        Field(description="Whether `/metrics` answers without a key: figures of all controllers."),
    ] = False
    callbacks_http_loopback: Annotated[
        bool,
        Field(description="Whether callbacks may go to plain http on this machine, to try them."),
    ] = False
    callback_ca_file: Annotated[
        Path | None,
        Field(
            description="PEM file of further certificate authorities that callbacks' receivers are "
            "believed by."
        ),
    ] = None
    callback_days: Annotated[
        int,
        Field(ge=1, le=3650, description="How long the record of a callback that ended is kept."),
    ] = 30
    opendsr_key: Annotated[
        Path | None,
        Field(
            description="PEM file of the RSA key, of 2048 bits or more, that signs answers and "
            "callbacks of OpenDSR. Default on a single machine: made once."
        ),
    ] = None
    opendsr_certificate: Annotated[
        str | None,
        Field(
            description="PEM file of its certificate for the domain of LOTUS_PUBLIC_URL, the leaf "
            "first. Further files, after commas, are served as well and sign nothing."
        ),
    ] = None
    log_level: Annotated[str, Field(description="`debug`, `info`, `warning` or `error`.")] = "info"

    @model_validator(mode="after")
    def _secrets_given_where_nobody_can_generate_them(self) -> Self:
        """A fleet's processes must share their secrets, so none of them may invent its own."""
        if not self.is_single_machine:
            for name in ("secret_key", "pseudonym_key", "suppression_key"):
                if not getattr(self, name):
                    raise ValueError(
                        f"LOTUS_{name.upper()} must be set when LOTUS_DATABASE_URL "
                        "names a database server"
                    )
        return self

    @model_validator(mode="after")
    def _a_key_and_its_certificate(self) -> Self:
        if (self.opendsr_key is None) != (self.opendsr_certificate is None):
            raise ValueError("LOTUS_OPENDSR_KEY and LOTUS_OPENDSR_CERTIFICATE need each other")
        return self

    @field_validator("public_url", "opendsr_key", "opendsr_certificate", mode="before")
    @classmethod
    def _nothing_if_empty(cls, value: object) -> object:
        """Compose files hand on variables that nobody has set as empty ones."""
        return None if value == "" else value

    @field_validator("broker_url", "rate_limit_url")
    @classmethod
    def _redis(cls, url: str | None) -> str | None:
        """What queues and limits were tried with, and what their tests run on."""
        if url is not None and not url.startswith(("redis://", "rediss://")):
            raise ValueError("must begin with redis:// or rediss://")
        return url

    @cached_property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'lotus.db'}"

    @property
    def is_single_machine(self) -> bool:
        return make_url(self.effective_database_url).get_backend_name() == "sqlite"

    @property
    def coalesce(self) -> timedelta:
        return timedelta(seconds=self.coalesce_seconds)

    @property
    def artifact_dir(self) -> Path:
        return self.data_dir / "artifacts"

    @property
    def staging_dir(self) -> Path:
        return self.data_dir / "staging"

    @property
    def key_dir(self) -> Path:
        return self.data_dir / "keys"

    @property
    def device_dir(self) -> Path:
        return self.data_dir / "devices"

    @property
    def bell_path(self) -> Path:
        return self.data_dir / "bell"
