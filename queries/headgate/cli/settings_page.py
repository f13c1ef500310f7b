"""The settings' reference page, written from the settings themselves.

`python -m headgate.cli.settings_page > docs/reference/settings.md` brings the page up to date; a
test fails when it is not.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import yaml

from headgate.cli.serve import serve
from headgate.cli.settings import ServeSettings, flag, variable

_HEADER = """\
# Settings of `headgate serve`

A setting is given as a flag, as an environment variable, or as a key of the YAML file named by
`--config FILE` ([otel-config/headgate.yaml](../../otel-config/headgate.yaml) has them all). A flag wins over the
environment, the environment over the file, the file over the default. An empty variable and a key
without a value count as not given. A key that does not exist, or a value that cannot be used, stops
the start with one sentence and exit code 2.

This page is generated: change `ServeSettings` in `queries/headgate/cli/settings.py`, then run
`python -m headgate.cli.settings_page > docs/reference/settings.md`.

| key | flag | environment | default | meaning |
|---|---|---|---|---|
"""

_FOOTER = """
`LOG_LEVEL` (default `WARNING`) says how much is written to standard error; `HEADGATE_DATA` is read
by every command. A request larger than `max_request_bytes` is refused for good (HTTP 413, gRPC
RESOURCE_EXHAUSTED); one that does not fit into `memory_bytes` is refused for now (HTTP 503 with
Retry-After, gRPC UNAVAILABLE with RetryInfo).
"""


def page() -> str:
    """Return the page."""
    options = inspect.signature(serve).parameters
    rows = []
    for key, field in ServeSettings.model_fields.items():
        default = "" if field.default is None else f"`{_shown(field.default)}`"
        option = f"`{flag(key)}`" if key in options else ""
        rows.append(f"| `{key}` | {option} | `{variable(key)}` | {default} | {field.description} |")
    return _HEADER + "\n".join(rows) + "\n" + _FOOTER


def _shown(value: Any) -> str:
    """Return a value as one would write it in the file."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, dict):
        value = {key: list(each) for key, each in value.items()}
    if not isinstance(value, (list, dict)):
        return str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()


if __name__ == "__main__":
    sys.stdout.write(page())
