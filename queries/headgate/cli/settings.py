"""Settings of `headgate serve`: flags before HEADGATE_* environment variables before the file before defaults."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003  # pydantic reads the annotation
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConfigurationError(StoreError):
    """The configuration cannot be used; the message names the key, the value and the remedy."""


class ServeSettings(BaseSettings):
    """What `headgate serve` can be told; every field is a key of the file and, upper-cased, HEADGATE_<field>."""

    model_config = SettingsConfigDict(env_prefix="HEADGATE_", extra="forbid", frozen=True)

    data: Path | None = Field(
        None, description="Directory of the embedded store; default: the per-user data directory."
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
    max_request_bytes: int = Field(
        64 << 20,
        gt=0,
        le=1 << 30,
        description="Largest request, also after decompression, in bytes.",
    )
    memory_bytes: int = Field(
        256 << 20, gt=0, description="Most bytes of accepted requests that may wait to be stored."
    )
    linger_ms: int = Field(
        100,
        ge=0,
        le=5000,
        description="How long a request waits for others to be stored with, in milliseconds.",
    )

    @field_validator("otlp_grpc", "otlp_http", "api")
    @classmethod
    def _is_address(cls, value: str) -> str:
        split_address(value)
        return value


def split_address(address: str) -> tuple[str, int]:
    """Return (host, port) of `host:port` or `[v6]:port`; raises ValueError."""
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+)):(\d{1,5})", address)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT, for instance 127.0.0.1:4317")
    return match[1] or match[2], int(match[3])


def load(flags: dict[str, Any], file: Path | None, environ: Mapping[str, str]) -> ServeSettings:
    """Return the settings; raises ConfigurationError with every problem in one sentence each."""
    from_file: dict[str, Any] = {}
    if file is not None:
        try:
            loaded = yaml.safe_load(file.read_text())
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the configuration {file}: {error.strerror}"
            ) from error
        except yaml.YAMLError as error:
            raise ConfigurationError(
                f"the configuration {file} is not valid YAML: {error}"
            ) from error
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigurationError(
                f"the configuration {file} must be a list of `key: value` lines"
            )
        from_file = loaded or {}
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        # The environment stands between the two: what it sets is not taken from the file.
        chosen = {k: v for k, v in from_file.items() if f"HEADGATE_{k}".upper() not in environ}
        return ServeSettings(**{**chosen, **given})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']} (got {problem['input']!r})"
            for problem in error.errors()
        )
        where = f" in {file}" if file else ""
        raise ConfigurationError(f"invalid configuration{where}: {problems}") from error
