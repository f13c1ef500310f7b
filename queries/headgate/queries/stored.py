"""Questions about attributes, answered by stored uses (`events`) instead of raw spans where those say as much.

`events` has every use of 90 days, where raw rows are kept for 7 and sampled by trace. It has the attributes of a use,
but not those of its resource. So it answers where each attribute that is asked for is known of uses, none of a
resource, and no person's uses were thinned out of the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.queries.source import BESIDE, RAW, Source, defined, sql
from headgate.queries.tier import TIERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from headgate.queries.window import Window
    from headgate.store import Store

NAME = "events"
_TABLES = {"events", "otel_traces", "otel_logs", "sampling_history"}
_ONLY_RAW = {"spans", "kept"}


def answers(store: Store, window: Mapping[str, str], names: Iterable[Collection[str]]) -> bool:
    """Return whether stored uses answer a question about attributes.

    `names` has, for each attribute, what it may be called; `window` are the parameters `since` and `until`.
    """

    def known(statement: str, **parameters: object) -> bool:
        return bool(store.client().query(statement, parameters=parameters).result_rows)

    if known(sql("events_thinned"), **window):
        return False
    for several in names:
        keys = list(several)
        own = known(sql("attribute_of_uses"), keys=keys, **window)
        if not own or known(sql("attribute_of_resources"), keys=keys):
            return False
    return True


def possible(tables: Collection[str], relations: Collection[str]) -> bool:
    """Return whether a store has what is needed to ask, and relations need nothing else than uses."""
    return set(tables) >= _TABLES and not _ONLY_RAW & set(relations)


def stored(window: Window, now: datetime, *, by: bool) -> Source:
    """Return stored uses as the source; `by` says that an attribute takes the operation's place."""
    made = {"every_use" if by else "uses": "stored_uses", **({"uses": "uses_by"} if by else {})}
    beside = {relation: name for relation, (_, name) in BESIDE.items() if relation not in _ONLY_RAW}
    made |= {name: name for name in (*RAW.values(), *beside.values())}
    made["raw_events"] = "stored_events"
    keep = TIERS["events"][0].keep
    late = (f"events keeps {keep.days} days: older rows are missing",)
    return Source(
        RAW | beside,
        window,
        NAME,
        defined({name: sql(file) for name, file in made.items()}),
        late if now - window.since > keep else (),
        raw=True,
        keep=keep,
    )
