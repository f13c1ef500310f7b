"""A report's statements, run on the source that was chosen for them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.queries.catalog import relations_of
from headgate.queries.columns import Columns, columns_of
from headgate.queries.days import DAY, by_days
from headgate.queries.failure import store_errors
from headgate.queries.gathered import gathered, is_gone, reads_uses
from headgate.queries.params import own
from headgate.queries.source import Source, sql
from headgate.queries.window import instant, second
from headgate.store import StoreError
from headgate.store.dimension import attributes_of
from headgate.store.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headgate.queries.declaration import Params, Report
    from headgate.queries.periods import Periods
    from headgate.queries.window import Window
    from headgate.store import Store
    from headgate.store.dimension import Dimensions
    from headgate.store.identity import IdentityRules

_ROWS = {"events", "spans", "kept"}
"""Relations that are rows, not counts, whatever answers."""
MOST_USES = 500_000
"""Of how many uses attributes or sessions are read; of more, those of some hours, or some sessions whole."""


def reads_rows(source: Source, texts: Iterable[str]) -> bool:
    """Return whether statements read rows: they take all cores anyway, and several at a time as much more memory."""
    return source.raw or bool(_ROWS & relations_of(texts))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one report's statements are run with, whatever their sources."""

    store: Store
    report: Report
    tables: Collection[str]
    identity: IdentityRules
    dimensions: Dimensions

    def columns(
        self, source: Source, params: Params, grid: Periods, texts: Mapping[str, str]
    ) -> dict[str, Columns]:
        """Run statements: by the day where that is enough, and those that read uses on a copy where one is made."""
        sources = dict.fromkeys(texts, source)
        daily = texts.keys() & self.report.by_days
        if daily and not grid.resolution % DAY and not self._weighted(source):
            sources |= dict.fromkeys(daily, by_days(source))
        if not source.raw:
            return self._run(sources, source, params, grid, texts)
        rare = () if source.provisional else self.report.rare
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
        calls = {q: partial(self.ask, sources[q], text, params, grid) for q, text in texts.items()}
        alone = reads_rows(errors, texts.values())
        with nullcontext(calls) if alone else self.store.aside.begun(calls) as begun:
            columns = {q: call() for q, call in begun.items()}
        keyed = {q for q, found in columns.items() if found.rows and "fingerprint" in found}
        if errors.provisional and keyed:
            made = self._fingerprints(errors, params, grid)
            for query in keyed:
                found = columns[query]
                values = [made.get(int(key), 0) for key in found["fingerprint"]]
                columns[query] = found.replaced("fingerprint", np.array(values, np.uint64))
        return columns

    def ask(self, source: Source, text: str, params: Params, grid: Periods) -> Columns:
        """Run one statement."""
        parameters = self._parameters(source, params, grid)
        session = {"session_id": source.session} if source.session else None
        with store_errors():
            result = self.store.client().query(
                source.statement(text), parameters=parameters, settings=session
            )
            return columns_of(result)

    def _weighted(self, source: Source) -> bool:
        """Return whether uses of the days of the window stand for others: rows of a day would mix their weights."""
        if source.raw or not {"usage_day", "sampling_history"} <= set(self.tables):
            return True
        return self.sampled(source.window.aligned(DAY), "usage_day")[1]

    def sampled(self, window: Window, usage: str) -> tuple[int, bool]:
        """Return the largest threshold of events in a window, and whether any use of it stands for others."""
        parameters = {
            "since": instant(window.since),
            "until": instant(window.until),
            "usage": usage,
        }
        with store_errors():
            found = self.store.client().query(sql("sampled"), parameters=parameters).result_rows
        return int(found[0][0]), bool(found[0][1])

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
