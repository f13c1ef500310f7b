"""Settings of `headgate serve`: flags before HEADGATE_* environment variables before the file before defaults."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # pydantic reads the annotation
from typing import TYPE_CHECKING, Any, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from headgate.cli.address import split_address
from headgate.cli.complaint import complaint, is_section
from headgate.cli.sampling_settings import SamplingSettings
from headgate.collector.rules import Identity, check_key
from headgate.store import StoreError
from headgate.store.dimension import DIMENSIONS
from headgate.store.identity import IdentityRules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_OTHER = "; what comes after them is counted as `__other__`."


class ConfigurationError(StoreError):
    """The configuration cannot be used; the message names the key, where it stands, and the remedy."""


class ServeSettings(BaseModel):
    """What `headgate serve` can be told; every field is a key of the file and, upper-cased, HEADGATE_<field>."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path | None = Field(
        None,
        description="Directory of the journal, the lock and the embedded store; default: the per-user data directory.",
    )
    store: str | None = Field(
        None,
        description="ClickHouse server instead of the embedded store: http://user:password@host:8123/database.",
    )
    otlp_grpc: str = Field(
        "127.0.0.1:4317", description="Where to listen for OTLP/gRPC; port 0 picks a free one."
    )
    otlp_http: str = Field(
        "127.0.0.1:4318", description="Where to listen for OTLP/HTTP; port 0 picks a free one."
    )
    api: str = Field(
        "127.0.0.1:8686", description="Where to serve the API; port 0 picks a free one."
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that receive, sharing the OTLP ports; more than one need `store`. Memory and journal are"
        " divided between them.",
    )
    telemetry: str | None = Field(
        None,
        description="Where to send Headgate's own metrics and traces, over OTLP/HTTP: another collector than this one,"
        " such as http://127.0.0.1:14318. Takes the extra `telemetry`.",
    )
    fonts: Path | None = Field(
        None,
        description="Directory of fonts for reports as PDF and PNG over HTTP, for scripts that no font of the system"
        " has.",
    )
    tokens: Path | None = Field(
        None,
        description="File of hashed tokens; default: tokens.json in the data directory. Once it is there, every"
        " request needs one.",
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Let other machines send and read everything without a token.",
    )
    tls_cert: Path | None = Field(
        None, description="Certificate chain (PEM) of OTLP and the API; plain text unless given."
    )
    tls_key: Path | None = Field(None, description="Private key (PEM) of the certificate.")
    tls_client_ca: Path | None = Field(
        None,
        description="CA certificates (PEM): clients must have a certificate of one of these.",
    )
    max_request_bytes: int = Field(
        64 << 20,
        gt=0,
        le=1 << 30,
        description="Largest request, also after decompression, in bytes.",
    )
    receive_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Longest time that a request may take to arrive, in seconds.",
    )
    memory_bytes: int = Field(
        80 << 20,
        gt=0,
        description="Most bytes of requests in memory, counted before they are read and until they are stored.",
    )
    journal_bytes: int = Field(
        4 << 30,
        gt=0,
        description="Most bytes of the journal, each tenant's: what is acknowledged and not yet in ClickHouse,"
        " compressed.",
    )
    dimensions: dict[str, tuple[str, ...]] = Field(
        dict(DIMENSIONS),
        description="What to count by: a name, and the attributes of which the first counts that a use or its resource"
        " has. `/100` after an attribute counts its integer in hundreds: 404 as `4xx`.",
    )
    max_services: int = Field(
        1000, gt=0, le=100_000, description=f"Most services counted by name within an hour{_OTHER}"
    )
    max_operations: int = Field(
        1000,
        gt=0,
        le=100_000,
        description=f"Most operations of a service counted by name within an hour{_OTHER}",
    )
    max_dimension_values: int = Field(
        1000,
        gt=0,
        le=100_000,
        description=f"Most values of a dimension and service counted by name within an hour{_OTHER}",
    )
    max_age_days: int = Field(
        90,
        gt=0,
        le=3650,
        description="What happened longer ago than this is given the time at which it arrived.",
    )
    max_ahead_minutes: int = Field(
        60,
        ge=0,
        le=52_596_000,
        description="What is said to happen later than this after its arrival is given the time of the arrival.",
    )
    user_attributes: tuple[str, ...] = Field(
        IdentityRules().user,
        min_length=1,
        description="Attributes that name the user; the first counts that a use or its resource has.",
    )
    session_attributes: tuple[str, ...] = Field(
        IdentityRules().session, description="Attributes that name the session, likewise."
    )
    anonymous_users: tuple[str, ...] = Field(
        IdentityRules().nobody,
        description="Values of these attributes that name nobody, as the empty one does.",
    )
    user_key: SecretStr | None = Field(
        None,
        description="Secret of 16 to 64 bytes. With it, users are stored as keyed hashes only, in every table.",
    )
    user_key_file: Path | None = Field(
        None,
        description="File that holds the secret instead; white space around it does not count.",
    )
    hashed_attributes: tuple[str, ...] = Field(
        Identity().also_hashed,
        description="Attributes beside `user_attributes` that are stored as hashes when there is a key.",
    )
    sampling: SamplingSettings = Field(
        default=SamplingSettings(),
        description="What of the detail is kept when it is busy; the variable takes YAML.",
    )

    @field_validator(
        "data", "fonts", "user_key_file", "tokens", "tls_cert", "tls_key", "tls_client_ca"
    )
    @classmethod
    def _of_a_user(cls, value: Path | None) -> Path | None:
        return value and value.expanduser()

    @field_validator("fonts")
    @classmethod
    def _is_directory(cls, value: Path | None) -> Path | None:
        if value and not value.is_dir():
            raise ValueError(f"{value} is no directory; name one that has files of fonts")
        return value

    @field_validator("otlp_grpc", "otlp_http", "api")
    @classmethod
    def _is_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("user_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(check_key(value.get_secret_value().encode()).decode())


def load(flags: Mapping[str, Any], file: Path | None, environ: Mapping[str, str]) -> ServeSettings:
    """Return the settings; raises ConfigurationError, every problem in it.

    A flag that is None, a variable that is empty and a key without a value count as not given.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, value, origin in _given(flags, file, environ):
        values[key], origins[key] = value, origin
    try:
        return ServeSettings(**values)
    except ValidationError as error:
        problems = (complaint(ServeSettings, problem, origins) for problem in error.errors())
        raise ConfigurationError(f"invalid configuration: {'; '.join(problems)}") from error


def variable(key: str) -> str:
    """Return the environment variable of a key."""
    return f"HEADGATE_{key.upper()}"


def flag(key: str) -> str:
    """Return the command-line option of a key."""
    return f"--{key.replace('_', '-')}"


def _given(
    flags: Mapping[str, Any], file: Path | None, environ: Mapping[str, str]
) -> Iterator[tuple[str, Any, str]]:
    """Yield (key, value, where it was given), the strongest last."""
    for key, value in (_read(file) if file else {}).items():
        if value is not None:
            yield str(key), value, f"{key} in {file}"
    for key, field in ServeSettings.model_fields.items():
        if value := environ.get(variable(key)):
            nested = is_section(field.annotation)
            yield (
                key,
                _section(value, variable(key)) if nested else _parsed(key, value),
                variable(key),
            )
    for key, value in flags.items():
        if value is not None:
            yield key, value, flag(key)


def _parsed(key: str, text: str) -> Any:
    """Return a variable's value: YAML for lists and mappings, the text itself where it is neither."""
    if get_origin(ServeSettings.model_fields[key].annotation) not in {dict, tuple}:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _read(file: Path) -> dict[Any, Any]:
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the configuration {file}: {error.strerror}; name another with --config FILE"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the configuration {file} is not valid YAML: {_reason(error)}"
        ) from error
    if loaded is not None and not isinstance(loaded, dict):
        raise ConfigurationError(f"the configuration {file} must be a list of `key: value` lines")
    return loaded or {}


def _reason(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """Return the first problem in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def _section(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name} is not valid YAML: {_reason(error)}") from error
