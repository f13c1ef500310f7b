"""What sampling did, as the report tells it, is what the collector's own path left in the store; counts never change.

Traffic of fixed seeds goes through the collector with a budget that it exceeds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from native_rows import store_blocks
from test_sampling_path import NOW, SECOND, busy
from test_sampling_path import run as through_collector

from headgate.queries import run
from headgate.queries.render import render
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store import Store

ASKED = datetime.fromtimestamp(NOW / SECOND, UTC) + timedelta(minutes=10)
WINDOW: dict[str, Any] = {"since": "2h", "now": ASKED}


@pytest.fixture(scope="module")
def sampled(engine_path: Path) -> Iterator[Store]:
    store = embedded_store(engine_path, "report_sampling")
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")
    for number, made in enumerate(through_collector(busy(np.random.default_rng(17), segments=6))):
        store_blocks(store, f"s{number}", made.blocks)
    yield store
    store.client().command("DROP DATABASE report_sampling SYNC")
    store.close()


def one(store: Store, sql: str) -> Any:
    return store.client().query(sql).result_rows[0]


def test_counts_are_exact_and_books_close(sampled: Store) -> None:
    """Rollups hold every span that the ledger received, the books close, and both are what the report says."""
    answer = run("sampling", sampled, **WINDOW)
    received, stored = one(
        sampled, "SELECT sum(Received), sum(Stored) FROM ledger WHERE Signal = 'traces'"
    )
    assert one(sampled, "SELECT sum(Calls) FROM usage_minute WHERE Kind != 'Event'") == (received,)
    assert one(sampled, "SELECT count() FROM otel_traces") == (stored,)
    assert stored < received / 2
    books = {entry.signal: entry for entry in answer.summary.ledger}
    assert books.keys() == {"traces", "logs"}
    assert all(entry.missing == 0 for entry in books.values())
    assert (books["traces"].received, books["traces"].stored) == (received, stored)
    entries, exact = one(
        sampled, "SELECT sum(Calls), sum(Calls) FROM usage_minute WHERE Entry AND Kind != 'Event'"
    )
    assert answer.summary.calls.exact
    assert answer.summary.calls.value == entries == exact
    assert answer.summary.kept_share == pytest.approx(answer.summary.kept / entries, abs=1e-4)


def test_every_stratum_shows_what_was_kept_of_it(sampled: Store) -> None:
    """Arrivals are the rollup's, kept rows the table's, and what the rows tell holds the count nearly always."""
    answer = run("sampling", sampled, **WINDOW)
    assert len(answer.rows) == answer.summary.strata > 20
    assert sum(row.calls.value for row in answer.rows) == answer.summary.calls.value
    assert sum(row.kept for row in answer.rows) == answer.summary.kept
    held = []
    for row in answer.rows:
        assert 0 <= row.kept <= row.calls.value
        if row.estimated is not None and row.estimated.low is not None:
            held.append(row.estimated.low <= row.calls.value <= row.estimated.high)
    assert np.mean(held) >= 0.85
    whole = answer.summary.estimated
    assert abs(whole.value - answer.summary.calls.value) < 4 * whole.standard_error
    rare = [row for row in answer.rows if row.calls.value < 30]
    busiest = answer.rows[0]
    assert np.mean([row.kept_share for row in rare]) > 1.5 * busiest.kept_share


def test_decisions_are_the_samplers_own(sampled: Store) -> None:
    """Arrivals, budget and probabilities by period are those of its history; the law is the one in force."""
    summary = run("sampling", sampled, **WINDOW).summary
    assert (summary.low, summary.high, summary.rate) == (300, 3000, 0.1)
    for signal in ("traces", "logs", "events"):
        periods = [period for period in summary.timeline if period.signal == signal]
        found = one(
            sampled,
            "SELECT sum(Requests), sum(KeptRequests), min(Probability), max(WindowRequests)"
            f" FROM sampling_history WHERE Signal = '{signal}'",
        )
        assert sum(period.requests for period in periods) == found[0]
        assert sum(period.kept for period in periods) == found[1]
        assert min(period.probability for period in periods) == pytest.approx(found[2], abs=1e-6)
        assert max(period.busiest_minute for period in periods) == found[3]
    (threshold,) = one(sampled, "SELECT max(EventsThreshold) FROM sampling_history")
    assert threshold > 0
    assert summary.events_people_share == pytest.approx(1 - threshold / 2**56, abs=1e-6)


def test_precision_says_what_sampling_costs(sampled: Store) -> None:
    """Each operation has the errors that the other reports give it from the same rows."""
    answer = run("sampling", sampled, **WINDOW)
    raw = run("performance", sampled, where={"nowhere": ""}, **WINDOW)
    p95 = {(row.service, row.operation): row.p95_ms for row in raw.rows}
    assert len(answer.summary.precision) == len(p95)
    for entry in answer.summary.precision:
        assert entry.design_effect >= 1
        assert entry.p95_ms == p95[entry.service, entry.operation]
    assert answer.summary.design_effect > 1.3  # two entry spans a trace


def test_a_table_of_it_is_readable_at_80_columns(sampled: Store) -> None:
    """Every part has its table, nothing is wider than the terminal, and shares are in per cent."""
    text = render(run("sampling", sampled, **WINDOW).to_dict(), "table").decode()
    assert max(map(len, text.splitlines())) <= 80
    for part in ("precision", "timeline", "ledger", "least probability", "±", " %"):
        assert part in text


def test_raw_rows_alone_tell_less(sampled: Store) -> None:
    """Narrowed by an attribute, arrivals are estimated from kept rows, and there are no books and no decisions."""
    answer = run("sampling", sampled, where={"nowhere": ""}, **WINDOW)
    assert answer.source.name == "otel_traces"
    assert not answer.summary.calls.exact
    assert answer.summary.ledger == answer.summary.timeline == ()
    assert answer.summary.low is None


def test_nothing_sampled_is_certain(store: Store) -> None:
    """An empty store has an empty report, and nothing in it is estimated."""
    answer = run("sampling", store, **WINDOW)
    assert answer.exact
    assert answer.rows == ()
