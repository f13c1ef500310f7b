"""One report on one store at one instant: choose a source for each of its questions, run the statements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.catalog import relations_of
from headgate.queries.columns import Columns, columns_of
from headgate.queries.days import DAY, by_days
from headgate.queries.errors import ReportError
from headgate.queries.failure import store_errors
from headgate.queries.gathered import gathered, is_gone, reads_uses
from headgate.queries.overlap import Answered, overlap
from headgate.queries.params import own
from headgate.queries.people import with_people
from headgate.queries.periods import Periods, natural_step, periods
from headgate.queries.recorded import Records, cut, first_records
from headgate.queries.source import Source, choose, sql
from headgate.queries.stored import ONLY_RAW, answers, possible, stored
from headgate.queries.tier import DIMENSION_TIERS
from headgate.queries.unknown import nothing_has_it, unknown_attribute
from headgate.queries.window import instant, second, zone_of
from headgate.store import StoreError
from headgate.store.dimension import attributes_of
from headgate.store.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from headgate.queries.catalog import Entry
    from headgate.queries.declaration import Ask, Params
    from headgate.queries.window import Window
    from headgate.store import Store
    from headgate.store.dimension import Dimensions
    from headgate.store.identity import IdentityRules

MOST_USES = 500_000
"""Of how many uses attributes or sessions are read; of more, those of some hours, or some sessions whole."""
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Asking:
    """One report on one store at one instant."""

    store: Store
    report: Entry
    tables: Mapping[str, Collection[str]]
    now: datetime
    identity: IdentityRules
    dimensions: Dimensions
    records: Records

    def answer(
        self, ask: Ask, main: Window | None = None, before: Sequence[Answered] = ()
    ) -> Answered:
        """Choose a source for a question and run its statements; `main` is the window of the report's own.

        `before` is what was answered before; of that an additive question reads nothing again.
        """
        params = ask.params
        by_dimension = self.is_dimension(params)
        earlier = main is not None and ask.window.until <= main.since
        within, known = self.records.within(ask.window)
        made = cut(within, self.tables, self.now, by_dimension=by_dimension, earlier=earlier)
        ask = replace(ask, window=made)
        wanted = self.report.queries
        own = (query for query in wanted if query not in self.report.report.on_request)
        chosen = {q: wanted[q] for q in (own if ask.queries is None else ask.queries)}
        zone = zone_of(params.timezone)
        step = getattr(params, "step", "day")
        if step == "auto":
            step = natural_step(ask.window)
        resolution = periods(ask.window, step, zone, params.week_start).resolution
        # What only raw rows have decides nothing for statements that do not read it.
        unread = ONLY_RAW - relations_of(chosen.values())
        relations = (self.report.relations - unread) | {"usage"}
        rows = self._stored(ask, relations)
        source = (
            rows
            if rows and not by_dimension
            else choose(
                self.tables,
                relations,
                ask.window,
                self.now,
                by_attribute=bool(params.where),
                by=params.by,
                by_dimension=by_dimension,
                rows=rows,
                resolution=resolution,
                earlier=earlier,
                usage_resolution=min(self.report.report.resolution, resolution),
                zone=zone,
            )
        )
        if step == "hour" != getattr(params, "step", "day") and source.step >= DAY:
            step = "day"  # hours were only the natural choice, and are not in that table any more
        if source.raw and not source.by_dimension:
            source = replace(source, window=within)  # raw rows answer for the very window
        kept, less = self.records.kept(source, self.now).within(source.window)
        if less != "whole":
            source, known = replace(source, window=kept), less
        source = with_people(self._thinned(source))
        grid = periods(source.window, step, zone, params.week_start)
        read = overlap(source, params, grid, chosen, before if ask.additive else ())
        if read.left.since < read.left.until:
            columns = self._columns(replace(source, window=read.left), params, grid, chosen)
        else:
            columns = dict.fromkeys(chosen, Columns({}))
        joined = {q: read.joined(q, found) for q, found in columns.items()}
        return Answered(params, source, known, grid, joined)

    def _columns(
        self, source: Source, params: Params, grid: Periods, texts: Mapping[str, str]
    ) -> dict[str, Columns]:
        """Run statements: by the day where that is enough, and those that read uses on a copy where one is made."""
        sources = dict.fromkeys(texts, source)
        daily = texts.keys() & self.report.report.by_days
        if daily and not grid.resolution % DAY and not self._weighted(source):
            sources |= dict.fromkeys(daily, by_days(source))
        if not source.raw:
            return self._run(sources, source, params, grid, texts)
        rare = () if source.provisional else self.report.report.rare
        parameters = self._parameters(source, params, grid)
        shared = {q for q, text in texts.items() if q not in rare and reads_uses(source, text)}
        with gathered(self.store, source, parameters, [texts[q] for q in shared]) as copy:
            try:
                near = sources | dict.fromkeys(shared, copy)
                return self._run(near, copy, params, grid, texts)
            except StoreError as error:
                if copy is source or not is_gone(error):
                    raise
        return self._run(sources, source, params, grid, texts)

    def _run(
        self,
        sources: Mapping[str, Source],
        errors: Source,
        params: Params,
        grid: Periods,
        texts: Mapping[str, str],
    ) -> dict[str, Columns]:
        """Run statements, each on its source; fingerprints that are provisional are made of those of `errors`."""
        columns = {q: self.ask(sources[q], text, params, grid) for q, text in texts.items()}
        keyed = {q for q, found in columns.items() if found.rows and "fingerprint" in found}
        if errors.provisional and keyed:
            made = self._fingerprints(errors, params, grid)
            for query in keyed:
                found = columns[query]
                values = [made.get(int(key), 0) for key in found["fingerprint"]]
                columns[query] = found.replaced("fingerprint", np.array(values, np.uint64))
        return columns

    def _stored(self, ask: Ask, relations: Collection[str]) -> Source | None:
        """Return stored uses as the source of a question about attributes, where they answer it."""
        params = ask.params
        asked: list[Collection[str]] = [[key] for key in params.where]
        if params.by is not None:
            asked.append(attributes_of(params.by, self.dimensions, counted=False))
        if not asked or not possible(self.tables, relations):
            return None
        wide = ask.window.aligned(QUARTER)
        window = {"since": instant(wide.since), "until": instant(wide.until)}
        with store_errors():
            found = answers(self.store, window, asked)
        if not found:
            return None
        return stored(
            ask.window,
            self.now,
            by=params.by is not None,
            spans="spans" in relations,
            weighted=found == "weighted",
        )

    def firsts(self, since: datetime, params: Params) -> dict[tuple[str, str], datetime]:
        """Return the times of the first records of operations or values, to the day before `since`.

        Empty where they are not known.
        """
        by_dimension = self.is_dimension(params)
        if params.by is not None and not by_dimension:
            return {}
        dimension = params.by if by_dimension else None
        with store_errors():
            return first_records(self.store, self.tables, since, self.now, dimension)

    def is_dimension(self, params: Params) -> bool:
        """Say whether `by` names a dimension that is counted from all traffic, and nothing else was asked for."""
        if params.by is None or params.where or params.operation:
            return False
        table = next((t.table for t in DIMENSION_TIERS if t.table in self.tables), None)
        if table is None:
            return False
        text = f"SELECT 1 FROM {table} WHERE Dimension = {{by:String}} LIMIT 1"
        with store_errors():
            return bool(self.store.client().query(text, parameters={"by": params.by}).result_rows)

    def told(
        self, source: Source, params: Params, columns: Mapping[str, Columns], *, refuse: bool = True
    ) -> Source:
        """Say so in the source where no use has `by`; raises ReportError to `refuse` what is no dimension."""
        if params.by is None or not source.raw or not nothing_has_it(columns):
            return source
        anyone = replace(params, service=None, operation=None, where={})
        grid = periods(source.window, "day", zone_of("UTC"))
        known = self.ask(source, sql("attribute_names"), anyone, grid)["name"].tolist()
        names, zone = {*known, *dict(self.dimensions)}, zone_of(params.timezone)
        said = unknown_attribute(params.by, source.window, names, zone)
        if refuse and params.by not in dict(self.dimensions):
            raise ReportError(said)
        return replace(source, notes=(*source.notes, said.partition(";")[0]))

    def _thinned(self, source: Source) -> Source:
        """Return the source with events thinned to the largest threshold of the window."""
        asked = {"events", "decisions"} & source.relations.keys()
        if source.raw or not asked or "sampling_history" not in self.tables:
            return source
        threshold, weighted = self._sampled(source.window, source.name)
        return source.thinned(threshold, weighted=weighted)

    def _weighted(self, source: Source) -> bool:
        """Return whether uses of the days of the window stand for others: rows of a day would mix their weights."""
        if source.raw or not {"usage_day", "sampling_history"} <= self.tables.keys():
            return True
        return self._sampled(source.window.aligned(DAY), "usage_day")[1]

    def _sampled(self, window: Window, usage: str) -> tuple[int, bool]:
        """Return the largest threshold of events in a window, and whether any use of it stands for others."""
        parameters = {
            "since": instant(window.since),
            "until": instant(window.until),
            "usage": usage,
        }
        with store_errors():
            found = self.store.client().query(sql("sampled"), parameters=parameters).result_rows
        return int(found[0][0]), bool(found[0][1])

    def ask(self, source: Source, text: str, params: Params, grid: Periods) -> Columns:
        """Run one statement."""
        parameters = self._parameters(source, params, grid)
        session = {"session_id": source.session} if source.session else None
        with store_errors():
            result = self.store.client().query(
                source.statement(text), parameters=parameters, settings=session
            )
            return columns_of(result)

    def _parameters(self, source: Source, params: Params, grid: Periods) -> dict[str, Any]:
        operation = params.operation or ""
        users, days = source.users or source.window, source.days or source.window
        whole = source.window.whole(DAY)
        return {
            "since": instant(source.window.since),
            "until": instant(source.window.until),
            "service": params.service or "",
            # With `by` the relations' operation is another thing; the filter has been applied below them.
            "operation": operation if params.by is None else "",
            "only_operation": operation,
            "by": params.by or "",
            "by_attributes": attributes_of(
                params.by or "", self.dimensions, counted=source.by_dimension
            ),
            "by_counted": source.by_dimension,
            "timezone": params.timezone,
            "week_start": params.week_start,
            "user_attributes": list(self.identity.user),
            "session_attributes": list(self.identity.session),
            "nobody": list(self.identity.nobody),
            "edges": grid.edges_s[:-1].tolist(),
            "where_keys": list(params.where),
            "where_values": list(params.where.values()),
            "events_threshold": source.events_threshold,
            "most_uses": MOST_USES,
            "users_since": second(users.since),
            "users_until": second(users.until),
            "days_since": second(days.since),
            "days_until": second(days.until),
            "whole_since": second(whole.since),
            "whole_until": second(whole.until),
            **source.relations,
            **own(params),
            # Provisional keys are not the store's: none of its fingerprints would be found.
            **({"fingerprints": []} if source.provisional else {}),
        }

    def _fingerprints(self, source: Source, params: Params, grid: Periods) -> dict[int, int]:
        """Return the store's fingerprint for each provisional key that SQL made of raw errors."""
        errors = self.ask(source, sql("raw_errors"), params, grid)
        parts = (errors["error_type"], errors["stack_trace"], errors["message"])
        return {
            int(key): fingerprint(*(str(text).encode() for text in texts))
            for key, *texts in zip(errors["provisional"], *parts, strict=True)
        }
