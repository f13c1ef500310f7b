"""Usage telemetry for Python applications and libraries, as OpenTelemetry and nothing else.

Applications: install this package and run `opentelemetry-instrument python app.py`. Libraries:
decorate with `@track`; nothing is recorded until the user turns it on. Importing this package
imports no OpenTelemetry: names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from headgate.instrumentation.exit import ending
from headgate.instrumentation.track import track, tracked

if TYPE_CHECKING:
    from headgate.instrumentation.analytics import AnalyticsConfig, AnalyticsManager
    from headgate.instrumentation.boundaries import carry
    from headgate.instrumentation.events import event, feature, nps
    from headgate.instrumentation.experiments import experiment
    from headgate.instrumentation.middleware import IdentifyASGI, IdentifyWSGI
    from headgate.instrumentation.sessions import identify, session
    from headgate.instrumentation.telemetry import Status, disable, enable, flush, purge, status

__all__ = [
    "AnalyticsConfig",
    "AnalyticsManager",
    "IdentifyASGI",
    "IdentifyWSGI",
    "Status",
    "carry",
    "disable",
    "enable",
    "event",
    "experiment",
    "feature",
    "flush",
    "identify",
    "nps",
    "purge",
    "session",
    "status",
    "track",
    "tracked",
]

_HOMES = {
    "AnalyticsConfig": "analytics",
    "AnalyticsManager": "analytics",
    "IdentifyASGI": "middleware",
    "IdentifyWSGI": "middleware",
    "Status": "telemetry",
    "carry": "boundaries",
    "disable": "telemetry",
    "enable": "telemetry",
    "event": "events",
    "experiment": "experiments",
    "feature": "events",
    "flush": "telemetry",
    "identify": "sessions",
    "nps": "events",
    "purge": "telemetry",
    "session": "sessions",
    "status": "telemetry",
}


ending.install()


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
