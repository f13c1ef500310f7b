"""Where an answer comes from: exact rollups when they can give it, raw rows when they cannot.

Reports read relations, not tables. A relation has the columns of its rollup table:

    usage    usage_minute, usage_quarter or usage_day, the finest that still holds the whole window
    users    user_day for whole days of UTC where those do, user_hour for other hours; of the window only
    events   events, thinned to the people that were kept throughout the window
    history  users, and user_day: who was there before the window
    ledger   ledger: what else came in; without entries where raw rows answer
    spans    otel_traces
    kept     uses among the raw spans that were kept, whatever else answers
    decisions  sampling_history: what the sampler decided; without entries where raw rows answer

Rollups answer when every relation has such a table and no attribute is asked for (rollups have none). The window is
on whole steps of usage already (`headgate.queries.recorded`); users are counted by hours or days, and the one that
holds the window's begin counts as beginning with it. A table whose steps are coarser than the periods that are asked
for (days of a time zone, hours of a day) does not do. Otherwise `sources/*.sql` derive the same relations from raw
spans and named log records, by the collector's definitions, under the same column names: one report statement serves
both, and there is one definition of each number. There the weight of a row is what sampling made it stand for.

Usage and events have a column for how sure a number is, `Noise` (see `headgate.queries.uncertain`), and events `Draw`,
a hash of what was kept or dropped as one, the trace or the person, and two that cost less than what they are about:
`HasSession` and, of uses, `Failed`.

Stored uses may stand in where attributes are asked for that they have themselves (`headgate.queries.stored`). `by` a
dimension that is counted from all traffic, and without other filters than the service, reads usage from the dimension's
own rollup; who it was, and what else is only in rows, still comes from raw rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

from headgate.queries.estimate import probability
from headgate.queries.statement import joined
from headgate.queries.tier import DIMENSION_TIERS, PLURAL, TIERS, Tier, chosen_tier
from headgate.queries.window import UTC_ZONE, Window, said
from headgate.store import NoData

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo


BESIDE: Mapping[str, tuple[str, str]] = {
    "history": ("user_day", "raw_users"),
    "ledger": ("ledger", "raw_ledger"),
    "spans": ("otel_traces", "spans"),
    "kept": ("otel_traces", "span_uses"),
    "decisions": ("sampling_history", "raw_decisions"),
}
"""Relations that have no part in the choice: the table, and the name among raw rows."""
RAW_KEEP = timedelta(days=7)
_DAY = timedelta(days=1)
_UNCOUNTED = "what has no value of the dimension is not counted"
_KEPT = {"usage": "kept_usage", "events": "kept_events"}
_PEOPLE_TABLES = ("user_hour", "user_day")
_PEOPLE = {"users": "people", "history": "history"}
RAW = {"usage": "raw_usage", "users": "raw_users", "events": "raw_events"}


@dataclass(frozen=True, slots=True)
class Source:
    """A choice: the name behind each relation, the window they answer for, and what to tell the reader.

    `definitions` are the statements that make those of the names that are no tables. `step` is that of the rows of
    usage, 0 for raw rows. `raw` says that rows are raw, `provisional` that their fingerprints are keys of `raw_errors`
    only. `events_threshold` is what events are thinned to: those of the share `people` of all. `users` is the window in
    whole steps of users, `days` are the whole days of UTC of which they are counted by the day; empty where hours are
    needed. `keep` says for how long raw rows are kept, None where that is not known or where other rows count.
    `session` is where temporary tables are, on a server.
    """

    relations: Mapping[str, str]
    window: Window
    name: str
    definitions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    step: timedelta = timedelta(0)
    raw: bool = False
    provisional: bool = False
    events_threshold: int = 0
    users: Window | None = None
    days: Window | None = None
    keep: timedelta | None = None
    session: str = ""

    @property
    def by_dimension(self) -> bool:
        """Whether usage is that of a dimension's own rollup."""
        return self.relations.get("usage") == "dimension_usage"

    @property
    def people(self) -> float:
        """Which share of all people events are of; 1 for raw rows, which are sampled by trace."""
        return probability(self.events_threshold)

    def thinned(self, threshold: int, *, weighted: bool) -> Source:
        """Return the same source with events thinned to a threshold; `weighted` says that some stand for others."""
        if not threshold and not weighted:
            return self.defining(**{_KEPT["events"]: sql("every_event")})
        if not threshold:
            return self
        share = f"{probability(threshold) * 100:.3g} %"
        note = f"events are those of a sample of {share} of all people: what is counted in them is estimated"
        return replace(self, events_threshold=threshold, notes=(*self.notes, note))

    def defining(self, **texts: str) -> Source:
        """Return the same source with these statements for these names."""
        return replace(self, definitions={**self.definitions, **texts})

    def with_notes_of(self, others: Mapping[str, Source]) -> Source:
        """Return the same source with what else to know of those that were asked beside it, by their labels."""
        known = {*self.notes, _UNCOUNTED}
        more = (f"{name}: {n}" for name, o in others.items() for n in o.notes if n not in known)
        return replace(self, notes=(*self.notes, *more))

    def statement(self, text: str) -> str:
        """Return a report's statement as it is sent."""
        return joined(text, self.definitions, self.relations)


def choose(
    tables: Mapping[str, Collection[str]],
    relations: Collection[str],
    window: Window,
    now: datetime,
    *,
    by_attribute: bool,
    by: str | None = None,
    by_dimension: bool = False,
    rows: Source | None = None,
    resolution: timedelta = timedelta(days=1),
    earlier: bool = False,
    usage_resolution: timedelta | None = None,
    zone: ZoneInfo = UTC_ZONE,
) -> Source:
    """Choose between rollups and raw rows; `tables` are the columns of each table there is.

    `by_attribute` says that rows are filtered by attributes, `by` is the attribute that takes the operation's place,
    `by_dimension` says that there is a rollup by it, `rows` is what has the rest then, raw rows unless given.
    `resolution` is the coarsest step that will do, `usage_resolution` that of usage; an `earlier` window is one that
    another follows; notes say times by the clock of `zone`. Raises NoData when the database has neither.
    """
    if not by_attribute and by is None:
        rollups = _rollups(
            tables,
            relations,
            window,
            now,
            resolution,
            usage_resolution or resolution,
            earlier=earlier,
            zone=zone,
        )
        if rollups:
            return rollups
    if "otel_traces" in tables:
        raw = _raw(tables, window, now, by)
        if by_dimension and not by_attribute:
            return _dimension(
                rows or raw, tables, relations, window, now, usage_resolution or resolution
            )
        return raw
    raise NoData(
        "the database has no table to report on: send it OpenTelemetry data with `headgate serve`,"
        " or name another one with --data DIR or --store URL"
    )


def _rollups(
    tables: Mapping[str, Collection[str]],
    relations: Collection[str],
    window: Window,
    now: datetime,
    resolution: timedelta,
    usage_resolution: timedelta,
    *,
    earlier: bool,
    zone: ZoneInfo,
) -> Source | None:
    chosen: dict[str, Tier] = {}
    notes: list[str] = []
    # Who was there before is told by the rows of users too: those of the window are their history's end.
    relations = {*relations, "users"} if "history" in relations else relations
    beside = {relation: BESIDE[relation][0] for relation in relations if relation in BESIDE}
    needed_tables = {*beside.values(), *(_PEOPLE_TABLES if "users" in relations else ())}
    if not needed_tables <= set(tables):
        return None
    for relation in sorted(set(relations) - beside.keys()):
        needed = usage_resolution if relation == "usage" else resolution
        tier = chosen_tier(TIERS[relation], tables, window, now, needed, notes)
        if tier is None:
            return None
        chosen[relation] = tier
    made = {
        _KEPT[name]: _of(sql(_KEPT[name]), tier.table)
        for name, tier in chosen.items()
        if name in _KEPT
    }
    if "kept" in beside:
        beside["kept"] = BESIDE["kept"][1]
        made |= _spans(tables)
    usage = chosen.get("usage") or next(iter(chosen.values()))
    read = beside | {name: _KEPT.get(name, tier.table) for name, tier in chosen.items()}
    wide = days = None
    if "users" in chosen:
        unit = chosen["users"].step
        wide = Window(window.aligned(unit).since, window.until)
        if earlier:  # the step that holds its end is counted in the window that follows
            wide = window.back(unit)
        elif wide.since < window.since:
            notes.append(
                f"users are counted by whole {PLURAL[unit]}, from {said(wide.since, zone)} on"
            )
        days = wide
        if unit < _DAY:
            days = Window(wide.since, wide.since) if resolution % _DAY else wide.whole(_DAY)
        made |= {"people": sql("people"), "history": sql("history")}
        read |= {name: made_of for name, made_of in _PEOPLE.items() if name in read}
    told = tuple(notes)
    return Source(read, window, usage.table, made, told, usage.step, users=wide, days=days)


def _of(text: str, table: str) -> str:
    return text.replace("{usage_table:Identifier}", table)


def _dimension(
    raw: Source,
    tables: Collection[str],
    relations: Collection[str],
    window: Window,
    now: datetime,
    needed: timedelta,
) -> Source:
    notes: list[str] = []
    tier = chosen_tier(DIMENSION_TIERS, tables, window, now, needed, notes)
    if tier is None:
        return raw
    usage = sql("dimension_usage").replace("{dimension_table:Identifier}", tier.table)
    rows = set(relations) - {"usage"}
    notes.append(_UNCOUNTED)
    if rows and raw.provisional:
        notes.append(f"{' and '.join(sorted(rows))} by dimension are those of raw rows")
    notes += raw.notes if rows else ()
    return replace(
        raw,
        relations={**raw.relations, "usage": "dimension_usage"},
        keep=None,
        name=tier.table,
        definitions={**raw.definitions, "dimension_usage": usage},
        notes=tuple(notes),
        step=tier.step,
    )


def _raw(
    tables: Mapping[str, Collection[str]], window: Window, now: datetime, by: str | None
) -> Source:
    made = _spans(tables)
    has_events = "EventName" in tables.get("otel_logs", ())
    parts = {}
    if has_events:
        parts["event_uses"] = "event_uses"
    parts["uses" if by is None else "every_use"] = "uses" if has_events else "uses_of_spans"
    if by is not None:
        parts["uses"] = "uses_by"
    parts |= {name: name for name in (*RAW.values(), "raw_ledger", "raw_decisions")}
    made |= {name: sql(file) for name, file in parts.items()}
    keep = RAW_KEEP if "Weight" in tables["otel_traces"] else None
    notes: tuple[str, ...] = ()
    if keep and now - window.since > keep:
        notes = (f"raw spans are kept for {keep.days} days: older ones are missing",)
    read = RAW | {relation: name for relation, (_, name) in BESIDE.items()}
    return Source(read, window, "otel_traces", made, notes, raw=True, provisional=True, keep=keep)


def _spans(tables: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return the definitions of raw spans and of the uses among them, by name."""
    spans = "spans" if "Weight" in tables["otel_traces"] else "spans_stock"
    return {"spans": sql(spans), "span_uses": sql("span_uses")}


def sql(name: str) -> str:
    """Return the text of one file of `sources/`."""
    return files("headgate.queries").joinpath("sources", f"{name}.sql").read_text(encoding="utf-8")
