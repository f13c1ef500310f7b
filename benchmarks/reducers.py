"""What the mathematics of a report costs after the store has done its part, beside pandas on the records themselves.

A month of 10 million records of 1000 operations is drawn once. `reducer` is the CPU time of a report's pure `reduce` on
what its statements make of them (sums by operation, outcome, day, bucket); `pandas` is the CPU time of the plain way to
the same main numbers, from a DataFrame of all records. `--records` and `--operations` change the size.
"""

from __future__ import annotations

import argparse
import json
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
from headgate.store.histogram import bucket_index

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAYS, SERVICES, RUNS = 30, 20, 5
WINDOW = Window(NOW - timedelta(days=DAYS), NOW)
DAY_S = 86400
START_S = int(WINDOW.since.timestamp())
OUTCOMES = np.array(["ok", "error", "timeout"], object)


def records(count: int, operations: int) -> dict[str, np.ndarray]:
    """Draw records: skewed operations, log-normal durations, one in fifty failed."""
    rng = np.random.default_rng(7)
    operation = np.minimum(rng.geometric(8 / operations, count) - 1, operations - 1)
    return {
        "operation": operation.astype(np.int64),
        "outcome": rng.choice(3, count, p=[0.98, 0.015, 0.005]),
        "second": rng.integers(0, DAYS * DAY_S, count),
        "duration": rng.lognormal(17, 1, count).astype(np.uint64),
    }


def grouped(drawn: dict[str, np.ndarray], keys: dict[str, tuple[np.ndarray, int]]) -> Columns:
    """Add records up by keys, as a statement's GROUP BY does; `keys` are numbers and how many there are."""
    place = np.zeros(drawn["second"].size, np.int64)
    for values, size in keys.values():
        place = place * size + values
    cells, number = np.unique(place, return_inverse=True)
    found: dict[str, np.ndarray] = {}
    for name, (_, size) in reversed(keys.items()):
        found[name] = cells % size
        cells = cells // size
    duration = drawn["duration"].astype(np.float64)
    found["arrivals"] = np.bincount(number)
    found["calls"] = found["arrivals"].astype(np.float64)
    found["duration"] = np.bincount(number, duration)
    found["duration_squares"] = np.bincount(number, duration**2)
    found["shortest"] = np.full(len(found["calls"]), duration.min())
    found["longest"] = np.full(len(found["calls"]), duration.max())
    found["last_ns"] = np.full(len(found["calls"]), (START_S + DAYS * DAY_S - 1) * 10**9)
    for name in ("variance", "variance_y", "variance_y2"):
        found[name] = np.zeros(len(found["calls"]))
    if "operation" in found:
        found["service"] = np.array([f"service {n % SERVICES}" for n in found["operation"]], object)
        found["operation"] = np.array([f"operation {n}" for n in found["operation"]], object)
    if "outcome" in found:
        found["outcome"] = OUTCOMES[found["outcome"]]
    if "day" in found:
        found["period_s"] = found["day_s"] = START_S + found["day"] * DAY_S
    return Columns(found)


def columns(drawn: dict[str, np.ndarray], operations: int) -> dict[str, Columns]:
    """Return the results of the statements that the reports are made of."""
    bucket = bucket_index(drawn["duration"]).astype(np.int64)
    operation = (drawn["operation"], operations)
    outcome = (drawn["outcome"], 3)
    day = (drawn["second"] // DAY_S, DAYS)
    found = {
        "usage": grouped(drawn, {"operation": operation, "outcome": outcome, "day": day}),
        "outcomes": grouped(drawn, {"operation": operation, "outcome": outcome}),
        "before": grouped(drawn, {"operation": operation}),
        "moments": grouped(drawn, {"operation": operation, "day": day}),
        "buckets": grouped(drawn, {"operation": operation, "bucket": (bucket, 2048)}),
        "timeline": grouped(drawn, {"day": day, "bucket": (bucket, 2048)}),
        "arrivals": grouped(drawn, {"day": day}),
        "times": grouped(
            drawn,
            {
                "weekday": ((drawn["second"] // DAY_S + 4) % 7, 7),
                "hour": (drawn["second"] % DAY_S // 3600, 24),
                "outcome": outcome,
            },
        ),
    }
    whole = found["before"]
    services = {"service": whole["service"], "operations": whole["arrivals"] * 0 + 50}
    found["services"] = Columns({**{n: whole[n] for n in whole}, **services})
    return found


def reducer(name: str, known: dict[str, Columns]) -> Callable[[], Any]:
    """Return the call of a report's reducer; statements that are not made here have no rows."""
    report = entry(name)
    params = report.report.params(
        **({"step": "day"} if hasattr(report.report.params, "step") else {})
    )
    nothing = Columns({})
    given = {query: known.get(query, nothing) for query in report.queries}
    asks = report.report.asks(params, WINDOW) if report.report.asks else {}
    for label, ask in asks.items():
        for query in report.queries if ask.queries is None else ask.queries:
            given[f"{label}.{query}"] = known.get(query, nothing)
    beside = dict.fromkeys(asks, WINDOW)
    grid = periods(WINDOW, "day", ZoneInfo("UTC"))
    context = Context(WINDOW, NOW, params, grid, beside, timedelta(minutes=15))
    return lambda: report.report.reduce(given, context)


def plain(frame: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """Return the plain-pandas way to each report's main numbers."""
    key = ["service", "operation"]
    level = [0.5, 0.95, 0.99]

    def usage() -> Any:
        return frame.groupby([*key, "day"], observed=True).size(), frame.groupby(
            key, observed=True
        )["ok"].mean()

    def performance() -> Any:
        by = frame.groupby(key, observed=True)["duration"]
        return (
            by.agg(["mean", "min", "max", "std", "sum"]),
            by.quantile(level),
            frame.groupby("day")["duration"].quantile(level),
        )

    def trend() -> Any:
        sizes = frame.groupby([*key, "day"], observed=True).size()
        counts = sizes.unstack(fill_value=0)  # noqa: PD010 - sizes are already one a cell
        return counts.apply(lambda row: np.polyfit(np.arange(row.size), row, 1)[0], axis=1)

    def context() -> Any:
        return frame.groupby(["weekday", "hour"]).size(), frame.groupby(key, observed=True).size()

    def success() -> Any:
        by = frame.groupby([*key, "day"], observed=True)["ok"]
        return by.mean(), by.size()

    def summary() -> Any:
        return usage(), frame.groupby(key, observed=True)["duration"].quantile(0.95)

    def quality() -> Any:
        return frame.groupby("day").size(), frame.groupby("service", observed=True).size()

    return {
        "usage": usage,
        "success": success,
        "performance": performance,
        "trend": trend,
        "context": context,
        "sources": performance,
        "compare": lambda: (performance(), usage()),
        "quality": quality,
        "summary": summary,
    }


def framed(drawn: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the records as a DataFrame, names as categories, days and hours already made."""
    operation = drawn["operation"]
    return pd.DataFrame(
        {
            "service": pd.Categorical.from_codes(
                operation % SERVICES, [f"service {n}" for n in range(SERVICES)]
            ),
            "operation": pd.Categorical.from_codes(
                operation, [f"operation {n}" for n in range(int(operation.max()) + 1)]
            ),
            "ok": drawn["outcome"] == 0,
            "day": drawn["second"] // DAY_S,
            "weekday": (drawn["second"] // DAY_S + 4) % 7,
            "hour": drawn["second"] % DAY_S // 3600,
            "duration": drawn["duration"].astype(np.float64),
        }
    )


def cpu_s(action: Callable[[], object], runs: int) -> float:
    """Return the least process CPU time of some runs."""
    best = float("inf")
    for _ in range(runs):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best


def main() -> None:
    """Measure every report and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    drawn = records(asked.records, asked.operations)
    known = columns(drawn, asked.operations)
    ways = plain(framed(drawn))
    found = [
        {
            "report": name,
            "reducer_s": round(cpu_s(reducer(name, known), RUNS), 6),
            "pandas_s": round(cpu_s(way, 1), 3),
        }
        for name, way in ways.items()
    ]
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    table = Table("report", "reducer, CPU s", "pandas, CPU s", "ratio")
    for row in found:
        ratio = row["pandas_s"] / row["reducer_s"]
        table.add_row(
            row["report"], f"{row['reducer_s']:.3f}", f"{row['pandas_s']:.2f}", f"{ratio:.0f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
