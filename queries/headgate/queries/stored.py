"""Questions about attributes, answered by stored uses (`events`) instead of raw spans where those say as much.

`events` has every use of 90 days, where raw rows are kept for 7 and sampled by trace. It has the attributes of a use,
but not those of its resource. So it answers where each attribute that is asked for is known of uses, none of a
resource, and no person's uses were thinned out of the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from headgate.queries.source import BESIDE, RAW, RAW_KEEP, Source, sql
from headgate.queries.tier import TIERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from headgate.queries.window import Window
    from headgate.store import Store

NAME = "events"
_USAGE = "usage_quarter"
_TABLES = {"events", "otel_traces", "otel_logs", "sampling_history", _USAGE}
ONLY_RAW = {"kept"}


def answers(
    store: Store, window: Mapping[str, str], names: Iterable[Collection[str]]
) -> Literal["weighted", "unweighted"] | None:
    """Return whether stored uses answer a question about attributes; `weighted` where some stand for others.

    `names` has, for each attribute, what it may be called; `window` are the parameters `since` and `until`, whole
    quarters of an hour. Uses stand for others that a sampler dropped before they came here.
    """

    def rows(statement: str, **parameters: object) -> Sequence[Sequence[Any]]:
        return store.client().query(statement, parameters=parameters).result_rows

    threshold, weighted = rows(sql("sampled"), usage=_USAGE, **window)[0]
    if threshold:
        return None
    for several in names:
        keys = list(several)
        own = rows(sql("attribute_of_uses"), keys=keys, **window)
        if not own or rows(sql("attribute_of_resources"), keys=keys):
            return None
    return "weighted" if weighted else "unweighted"


def possible(tables: Collection[str], relations: Collection[str]) -> bool:
    """Return whether a store has what is needed to ask, and relations need nothing else than uses."""
    return set(tables) >= _TABLES and not ONLY_RAW & set(relations)


def stored(
    window: Window, now: datetime, *, by: bool, spans: bool = False, weighted: bool = True
) -> Source:
    """Return stored uses as the source.

    `by` says that an attribute takes the operation's place, `spans` that raw spans are read beside them, `weighted`
    that some uses may stand for others.
    """
    name = "every_use" if by else "uses"
    made = {name: "stored_uses"}
    if not weighted:
        made = {"stored_uses": "stored_uses", name: "stored_unweighted"}
    if by:
        made["uses"] = "uses_by"
    beside = {relation: name for relation, (_, name) in BESIDE.items() if relation not in ONLY_RAW}
    made |= {name: name for name in (*RAW.values(), *beside.values())}
    keep = TIERS["events"][0].keep
    missing = []
    if now - window.since > keep:
        missing.append(f"events keeps {keep.days} days: older rows are missing")
    if spans and now - window.since > RAW_KEEP:
        missing.append(f"raw spans are kept for {RAW_KEEP.days} days: older ones are missing")
    return Source(
        RAW | beside,
        window,
        NAME,
        {name: sql(file) for name, file in made.items()},
        tuple(missing),
        raw=True,
        keep=keep,
    )
