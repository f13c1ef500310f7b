"""What reducers cost that read uses or periods one by one, beside pandas doing the plain part of the same.

`workflows` gets 10 million uses of a million sessions, in the order in which the store returns them and shuffled; its
statement never returns more than half a million. The reports on series get 57 days of hours of 1000 operations, 1.4
million rows. `reducer` and `pandas` are CPU seconds, the least of some runs. `--uses` changes the size.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from headgate.queries import entry
from headgate.queries.columns import Columns
from headgate.queries.declaration import Context
from headgate.queries.periods import periods
from headgate.queries.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAYS, OPERATIONS, STEPS, RUNS = 57, 1000, 40, 3
WINDOW = Window(NOW - timedelta(days=1), NOW)
LEARNT = Window(NOW - timedelta(days=DAYS), NOW)
NOTHING = Columns({})


def uses(count: int) -> Columns:
    """Draw uses of sessions of about ten, sorted by session and time."""
    rng = np.random.default_rng(3)
    session = np.sort(rng.integers(0, max(count // 10, 1), count))
    time_ns = session * 10**9 + np.arange(count) * 10**9
    return Columns(
        {
            "session": session.astype(np.uint64),
            "named": np.ones(count, np.uint8),
            "time_ns": time_ns,
            "step": np.minimum(rng.geometric(0.2, count), STEPS).astype(np.uint64),
            "well": (rng.random(count) < 0.98).astype(np.uint8),
            "duration_ns": rng.integers(1, 10**9, count),
            "weight": np.ones(count),
            "one_in": np.ones(count, np.uint16),
        }
    )


def steps() -> Columns:
    """Return the names of steps."""
    names = np.array([f"step {n}" for n in range(1, STEPS + 1)], object)
    service = np.full(STEPS, "shop", object)
    return Columns(
        {"step": np.arange(1, STEPS + 1, dtype=np.uint64), "service": service, "operation": names}
    )


def activity() -> Columns:
    """Draw hours of operations that work by day."""
    rng = np.random.default_rng(4)
    hour = np.arange(24 * DAYS)
    shape = 0.2 + np.exp(-(((hour % 24 - 14) / 5.0) ** 2))
    calls = rng.poisson(np.geomspace(500, 2, OPERATIONS)[:, None] * shape)
    operation, period = np.nonzero(calls)
    n = calls[operation, period].astype(float)
    return Columns(
        {
            "service": np.full(n.size, "shop", object),
            "operation": np.array([f"operation {o}" for o in range(OPERATIONS)], object)[operation],
            "period_s": int(LEARNT.since.timestamp()) + 3600 * period,
            "arrivals": n.astype(int),
            "calls": n,
            "variance": np.zeros(n.size),
            "failures": rng.binomial(n.astype(int), 0.02).astype(float),
            "timed": n,
            "duration": n * rng.lognormal(17, 0.3, n.size),
        }
    )


def reducer(name: str, given: dict[str, Columns]) -> Callable[[], Any]:
    """Return the call of a report's reducer; what is not given has no rows."""
    report = entry(name)
    params = report.report.params()
    asks = report.report.asks(params, WINDOW) if report.report.asks else {}
    columns = dict.fromkeys(report.queries, NOTHING)
    for label, ask in asks.items():
        columns |= dict.fromkeys((f"{label}.{query}" for query in ask.queries or ()), NOTHING)
    columns |= given
    grid = periods(WINDOW, getattr(params, "step", "day"), ZoneInfo("UTC"))
    context = Context(WINDOW, NOW, params, grid, dict.fromkeys(asks, LEARNT))
    return lambda: report.report.reduce(columns, context)


def cpu_s(action: Callable[[], object], runs: int = RUNS) -> float:
    """Return the least process CPU time of some runs."""
    best = float("inf")
    for _ in range(runs):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best


def plain_sequences(drawn: Columns) -> Callable[[], Any]:
    """Return pandas' way to the patterns of two to five steps: sort, shift within sessions, count."""
    frame = pd.DataFrame({name: drawn[name] for name in ("session", "time_ns", "step")})

    def count() -> Any:
        ordered = frame.sort_values(["session", "time_ns"])
        by = ordered.groupby("session")["step"]
        columns = [ordered["step"]]
        found = []
        for length in range(1, 5):
            columns.append(by.shift(-length))
            found.append(pd.concat(columns, axis=1, ignore_index=True).dropna().value_counts())
        return found

    return count


def plain_series(rows: Columns) -> dict[str, Callable[[], Any]]:
    """Return pandas' way to the plain part of each report: the matrix, then medians, means or correlations."""
    frame = pd.DataFrame({name: rows[name] for name in ("operation", "period_s", "calls")})

    def matrix() -> pd.DataFrame:
        return frame.pivot_table(
            index="period_s", columns="operation", values="calls", fill_value=0
        )

    def medians() -> Any:
        table = matrix()
        return table - table.groupby(table.index // 3600 % 168).transform("median")

    return {
        "anomalies": medians,
        "forecast": lambda: matrix().ewm(alpha=0.1).mean(),
        "seasonality": lambda: matrix().groupby(lambda s: s // 3600 % 24).mean(),
        "correlation": lambda: matrix().iloc[:, :20].corr(method="spearman"),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uses", type=int, default=10_000_000)
    asked = parser.parse_args()
    table = Table("report", "rows", "reducer, CPU s", "pandas, CPU s")
    drawn = uses(asked.uses)
    shuffled = drawn.chosen(np.random.default_rng(5).permutation(drawn.rows))
    plain = cpu_s(plain_sequences(shuffled), 1)
    for label, given in (("workflows, in order", drawn), ("workflows, shuffled", shuffled)):
        cost = cpu_s(reducer("workflows", {"uses": given, "steps": steps()}), 2)
        table.add_row(label, f"{drawn.rows:,}", f"{cost:.2f}", f"{plain:.1f}")
    rows = activity()
    ways = plain_series(rows)
    last = rows.chosen(rows["period_s"] >= int(WINDOW.since.timestamp()))
    for name, way in ways.items():
        cost = cpu_s(reducer(name, {"activity": last, "learnt.activity": rows}))
        table.add_row(name, f"{rows.rows:,}", f"{cost:.2f}", f"{cpu_s(way, 1):.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
