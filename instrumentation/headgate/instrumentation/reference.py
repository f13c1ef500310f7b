"""The reference page, from the declarations.

`python -m headgate.instrumentation.reference > docs/reference/instrumentation.md`
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING

import headgate.instrumentation as package
from headgate.instrumentation import attributes as names
from headgate.instrumentation.declared import ATTRIBUTES, SETTINGS
from headgate.instrumentation.distro import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD = """\
# Instrumentation

<!-- Written by `python -m headgate.instrumentation.reference`; edit the declarations, not this file. -->

What `headgate-instrumentation` reads from the environment, and what it writes. How to use it:
[instrument a web application](../how-to/instrument-a-web-app.md),
[telemetry in a library](../how-to/telemetry-in-a-library.md),
[events from other languages](../how-to/events-from-other-languages.md).
"""
_COMMANDS = """\
`python -m headgate.instrumentation doctor` tells what is instrumented, what is missing and whether
data arrives; `status` and `purge` are commands too.
"""


def page() -> str:
    """Return the page as Markdown."""
    return f"{_HEAD}\n{_functions()}\n{_settings()}\n{_defaults()}\n{_attributes()}\n{_events()}"


def _functions() -> str:
    rows = []
    for name in package.__all__:
        public = getattr(package, name)
        said = (inspect.getdoc(public) or "").partition("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{name}{_parameters(public)}` | {said} |")
    text = "All from `headgate.instrumentation`. None raises into the program, except where it is said."
    return _table("Functions", "| name | what it does |", rows, text) + "\n" + _COMMANDS


def _parameters(public: Callable[..., object]) -> str:
    if public is package.Status:
        return ""
    shown = [
        parameter.replace(annotation=parameter.empty)
        for parameter in inspect.signature(public).parameters.values()
    ]
    return re.sub(r"environ\(\{.*\}\)", "os.environ", str(inspect.Signature(shown)))


def _settings() -> str:
    rows = [
        f"| `{each.name}` | {f'`{each.default}`' if each.default else ''} | {each.meaning} |"
        for each in SETTINGS
    ]
    return _table("Settings", "| variable | default | meaning |", rows)


def _defaults() -> str:
    rows = [f"| `{name}` | `{value}` |" for name, value in DEFAULTS.items()]
    return _table(
        "OpenTelemetry's settings",
        "| variable | value |",
        rows,
        "Under `opentelemetry-instrument` these are set unless they are set already. Every other\n"
        "`OTEL_*` variable, and the declarative configuration file (`OTEL_CONFIG_FILE`), works as\n"
        "OpenTelemetry describes it. Samplers\n"
        "`headgate_ratio` and `headgate_adaptive` write the threshold that the collector understands (`ot=th`).",
    )


def _attributes() -> str:
    rows = [
        f"| `{each.name}` | {each.type} | {each.on} | {each.meaning} | {each.column} |"
        for each in ATTRIBUTES
    ]
    return _table(
        "Attributes",
        "| name | type | on | meaning | column |",
        rows,
        "Names without `headgate.` are OpenTelemetry's. The last column says what the collector derives from it.",
    )


def _events() -> str:
    rows = [
        "| any | `event` | what the application says |",
        f"| `{names.EVENT_FEATURE}` | `feature`, `experiment` | an exposure if it has `{names.EXPERIMENT}` |",
        f"| `{names.EVENT_SESSION_START}` | `session` | a session begins |",
        f"| `{names.EVENT_SESSION_END}` | `session` | it ends; the value is its length in seconds |",
        f"| `{names.EVENT_NPS}` | `nps` | the value is the score |",
    ]
    return _table(
        "Events", "| name | by | meaning |", rows, "Log records with an event name, severity INFO."
    )


def _table(title: str, head: str, rows: list[str], text: str = "") -> str:
    rule = "|" + "---|" * (head.count("|") - 1)
    return "\n".join([f"## {title}\n", *([text + "\n"] if text else []), head, rule, *rows]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
