"""The settings' reference page, written from the settings themselves.

`python -m headgate.cli.settings_page > docs/reference/settings.md` brings the page up to date; a
test fails when it is not.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import yaml

from headgate.cli.complaint import is_section
from headgate.cli.serve import serve
from headgate.cli.settings import ServeSettings, flag, variable

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = """\
# Settings of `headgate serve`

A setting is given as a flag, as an environment variable, or as a key of the YAML file named by
`--config FILE` ([otel-config/headgate.yaml](../../otel-config/headgate.yaml) has them all). A flag wins over the
environment, the environment over the file, the file over the default. An empty variable and a key
without a value count as not given. A key that does not exist, or a value that cannot be used, stops
the start with one sentence and exit code 2.

`kill -HUP` makes a running server read the file again and say in one line what it took over: `sampling` takes effect at
once, everything else with the next start. What `headgate sampling set` has stored wins over `sampling` until
`headgate sampling set --reset`.

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
        option = f"`{flag(key)}`" if key in options else ""
        if is_section(field.annotation):
            rows.append(f"| `{key}` | {option} | `{variable(key)}` |  | {field.description} |")
            rows += _section(key, field.annotation)
        else:
            default = "" if field.default is None else f"`{_shown(field.default)}`"
            name = f"`{variable(key)}`"
            rows.append(f"| `{key}` | {option} | {name} | {default} | {field.description} |")
    return _HEADER + "\n".join(rows) + "\n" + _FOOTER


def _shown(value: Any) -> str:
    """Return a value as one would write it in the file."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, dict):
        value = {key: list(each) for key, each in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    if not isinstance(value, (list, dict)):
        return str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()


def _section(prefix: str, model: Any) -> Iterator[str]:
    """Yield the lines of a section's keys, those of its own sections too."""
    for key, field in model.model_fields.items():
        name = f"{prefix}.{key}"
        if is_section(field.annotation):
            yield from _section(name, field.annotation)
        else:
            yield f"| `{name}` |  |  | `{_shown(field.default)}` | {field.description} |"


if __name__ == "__main__":
    sys.stdout.write(page())
