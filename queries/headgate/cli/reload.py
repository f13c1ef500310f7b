"""Read the settings of a running server again, and take over what can change while it runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from headgate.cli.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headgate.cli.settings import ServeSettings
    from headgate.cli.tls import Certificates
    from headgate.collector.sampling import Sampler

log = logging.getLogger(__name__)


class Reload:
    """Reads and compares; says in one line what changed, what takes effect and what waits for the next start."""

    def __init__(
        self,
        settings: ServeSettings,
        read: Callable[[], ServeSettings],
        samplers: Callable[[], Sequence[Sampler]],
        certificates: Certificates | None,
    ) -> None:
        """`samplers` returns those of all tenants; certificates are read again from the files they came from."""
        self._settings = settings
        self._read = read
        self._samplers = samplers
        self._certificates = certificates

    def __call__(self) -> None:
        """Reload; settings that cannot be used change nothing."""
        if self._certificates:
            self._certificates.reload()
        samplers = self._samplers()
        try:
            fresh = self._read()
        except ConfigurationError as error:
            log.error("the settings stay as they are: %s", error)  # noqa: TRY400  # no trace is needed
            return
        changes = dict(differences(self._settings.model_dump(), fresh.model_dump()))
        now = {key: what for key, what in changes.items() if samplers and _is_taken(key)}
        later = {key: what for key, what in changes.items() if key not in now}
        if now:
            try:
                for sampler in samplers:
                    sampler.configure(fresh.sampling.policy())
            except ValueError as error:
                log.error("the settings stay as they are, with what was set beside them: %s", error)  # noqa: TRY400  # no trace is needed
                return
        # What waits is compared with the running server the next time, too.
        self._settings = self._settings.model_copy(
            update={
                "sampling": fresh.sampling.model_copy(
                    update={"enabled": self._settings.sampling.enabled}
                )
            }
        )
        log.warning("settings read again: %s", _told(now, later, samplers))


def _is_taken(key: str) -> bool:
    return key.startswith("sampling.") and key != "sampling.enabled"


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, "old -> new") of what differs."""
    for key, old in before.items():
        new = after[key]
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", f"{_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _told(now: Mapping[str, str], later: Mapping[str, str], samplers: Sequence[Sampler]) -> str:
    parts = [f"{key} {what}" for key, what in now.items()]
    if now and any(sampler.overrides for sampler in samplers):
        parts.append("budgets set by `headgate sampling set` stay in their place")
    if later:
        parts.append(f"with the next start: {', '.join(f'{k} {w}' for k, w in later.items())}")
    return "; ".join(parts) or "nothing changed"
