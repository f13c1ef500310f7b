"""A/B tests: a variant for each user that never changes, and the exposure that the analysis needs.

The user's place in [0, 1) is a hash of experiment and user, so it is the same in every process and
language, independent between experiments, and honours the split (REQ-ABT-01, -03; PIT-R2-05).
Assignment works, and is the same, while telemetry is off.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from headgate.instrumentation import attributes as names
from headgate.instrumentation.events import record
from headgate.instrumentation.identity import current, identifier
from headgate.instrumentation.switch import switch

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMEMBERED = 10_000


class _Exposed:
    """The exposures of this process, so that a hot loop records one and not a million."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: OrderedDict[tuple[int, str, str, str], None] = OrderedDict()

    def first(self, experiment: str, who: str, variant: str) -> bool:
        """Whether this exposure is new; remembers the last 10 000."""
        key = (switch.generation, experiment, who, variant)
        with self._lock:
            if key in self._seen:
                self._seen.move_to_end(key)
                return False
            self._seen[key] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return True


_exposed = _Exposed()


def experiment(name: str, variants: Mapping[str, float], *, user: str | None = None) -> str:
    """Return the variant of the user, else of the session, and record it as an exposure once.

    `variants` maps names to shares of the traffic, in any unit. Without anybody to assign, the
    first variant is returned and nothing is recorded. Raises ValueError unless there is a variant
    and the shares are finite, not negative and not all zero.
    """
    identity = current()
    known = identifier(user) or identity.user
    who = known or identity.session
    if not who:
        checked(variants)
        return next(iter(variants))
    variant = assign(name, who, variants)
    if switch.on and _exposed.first(name, who, variant):
        exposure: dict[str, object] = {
            names.EXPERIMENT: name,
            names.FEATURE_KEY: name,
            names.FEATURE_VARIANT: variant,
            names.FEATURE_REASON: "split",
            names.FEATURE_PROVIDER: "headgate",
            names.FEATURE_CONTEXT_ID: who,
        }
        record(names.EVENT_FEATURE, exposure, None, known or None)
    return variant


def assign(name: str, who: str, variants: Mapping[str, float]) -> str:
    """Return the variant of `who`; each variant owns the next part of [0, 1), in order."""
    total = checked(variants)
    place = position(name, who) * total
    reached = 0.0
    last = ""
    for variant, share in variants.items():
        reached += share
        if share > 0:
            last = variant
            if place < reached:
                return variant
    return last


def position(name: str, who: str) -> float:
    """Return where in [0, 1) an experiment puts somebody.

    That is the first 52 bits of the SHA-256 of `name`, a zero byte and `who` in UTF-8, as a fraction:
    easy to compute in any language.
    """
    digest = hashlib.sha256(f"{name}\0{who}".encode("utf-8", "replace")).digest()
    return (int.from_bytes(digest[:8], "big") >> 12) / float(1 << 52)


def checked(variants: Mapping[str, float]) -> float:
    """Return the sum of the shares; raises ValueError as `experiment` does."""
    total = math.fsum(variants.values()) if variants else 0.0
    if not math.isfinite(total) or total <= 0 or any(share < 0 for share in variants.values()):
        raise ValueError(
            "variants must map names to shares that are not negative and not all zero, "
            f"not {dict(variants)!r}"
        )
    return total
