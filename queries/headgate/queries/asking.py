"""One report on one store at one instant: choose a source for each of its questions, and have it answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from headgate.queries.catalog import relations_of
from headgate.queries.columns import Columns
from headgate.queries.days import DAY
from headgate.queries.errors import ReportError
from headgate.queries.failure import store_errors
from headgate.queries.overlap import Answered, overlap
from headgate.queries.people import with_people
from headgate.queries.periods import Periods, natural_step, periods
from headgate.queries.reading import Reading
from headgate.queries.recorded import Known, Records, cut, first_records
from headgate.queries.source import Source, choose, sql
from headgate.queries.stored import ONLY_RAW, answers, possible, stored
from headgate.queries.tier import DIMENSION_TIERS
from headgate.queries.unknown import nothing_has_it, unknown_attribute
from headgate.queries.window import instant, zone_of
from headgate.store.dimension import attributes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from headgate.queries.catalog import Entry
    from headgate.queries.declaration import Ask, Params
    from headgate.queries.window import Window
    from headgate.store import Store
    from headgate.store.dimension import Dimensions
    from headgate.store.identity import IdentityRules

QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Planned:
    """A question before it is answered: the source, how much of its window there can be records of, the statements."""

    ask: Ask
    source: Source
    known: Known
    periods: Periods
    texts: Mapping[str, str]


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

    def plan(self, ask: Ask, main: Window | None = None) -> Planned:
        """Choose the source that answers a question; `main` is the window of the report's own."""
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
        return Planned(ask, source, known, grid, chosen)

    def answered(self, planned: Planned, before: Sequence[Answered] = ()) -> Answered:
        """Run the statements of a question; of what was answered `before`, an additive one reads nothing again."""
        ask, source, grid = planned.ask, planned.source, planned.periods
        read = overlap(source, ask.params, grid, planned.texts, before if ask.additive else ())
        if read.left.since < read.left.until:
            left = replace(source, window=read.left)
            columns = self._reading.columns(left, ask.params, grid, planned.texts)
        else:
            columns = dict.fromkeys(planned.texts, Columns({}))
        joined = {q: read.joined(q, found) for q, found in columns.items()}
        return Answered(ask.params, source, planned.known, grid, joined)

    def ask(self, source: Source, text: str, params: Params, grid: Periods) -> Columns:
        """Run one statement that is no report's own."""
        return self._reading.ask(source, text, params, grid)

    @property
    def _reading(self) -> Reading:
        return Reading(self.store, self.report.report, self.tables, self.identity, self.dimensions)

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
        threshold, weighted = self._reading.sampled(source.window, source.name)
        return source.thinned(threshold, weighted=weighted)
