"""How long every report takes on a month of a busy service (`month_data.py` makes it, and says what it models).

`--data DIR` keeps the store for further runs. Wall-clock and CPU milliseconds of a whole answer, engine included, warm,
the least of three to twelve that take four seconds, each of another window; the load average stands beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from month_data import day_sizes, fill, midnight, truth
from rich.console import Console
from rich.progress import track
from rich.table import Table

from headgate.queries import ReportError, names, run
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from headgate.store import Store


LEAST_RUNS, MOST_RUNS, ENOUGH_S = 3, 12, 4.0


def best_ms(action: Callable[[int], object]) -> tuple[float, float]:
    """Return the least wall-clock and CPU time (ms) of several runs after a first; `action` gets its number.

    Quick ones are run more often: the engine compiles a statement's expressions when it runs for the fourth time, and
    gives memory back meanwhile that another report had.
    """
    action(0)
    wall: list[float] = []
    cpu = []
    for number in range(1, MOST_RUNS + 1):
        if number > LEAST_RUNS and sum(wall) > ENOUGH_S:
            break
        before, before_cpu = time.perf_counter(), time.process_time()
        action(number)
        wall.append(time.perf_counter() - before)
        cpu.append(time.process_time() - before_cpu)
    return min(wall) * 1000, min(cpu) * 1000


def check(store: Store, end: datetime, since: datetime, calls: int) -> None:
    """Hold a report's numbers to the truth; a benchmark of wrong numbers is worth nothing."""
    usage = run("usage", store, now=end, since=since).summary
    success = run("success", store, now=end, since=since).summary
    known = truth(calls)
    problems = [
        f"{name}: {found} instead of {true}"
        for name, found, true in (
            ("calls", usage.calls.value, known.calls),
            ("users", usage.unique_users.value, known.users),
            ("sessions", usage.sessions.value, known.sessions),
            ("failures", success.failure_count.value, known.failures),
        )
        if found != true
    ]
    if problems:
        raise SystemExit(f"the numbers are wrong: {'; '.join(problems)}")


def main() -> None:
    """Make the month, ask every report, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="keep the store here; an earlier run's is used")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--per-day", type=int, default=1_000_000)
    parser.add_argument("--raw-days", type=int, default=7, help="days of raw spans as well")
    parser.add_argument("--reports", nargs="*", choices=names(), help="only these")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.data or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        store = embedded_store(place / "clickhouse")
        migrate(store)
        store.client().command("SYSTEM STOP TTL MERGES")
        last = store.client().query("SELECT toUnixTimestamp(max(Time)), sum(Calls) FROM usage_day")
        at, calls = last.result_rows[0]
        made = datetime.fromtimestamp(at, UTC) + timedelta(days=1)
        end = made if calls else midnight(datetime.now(UTC))
        sizes = day_sizes(end, options.days, options.per_day)
        if not calls:
            began = time.perf_counter()
            fill(store, end, sizes, options.raw_days)
            print(f"made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        since = end - timedelta(days=options.days)
        check(store, end, since, sum(sizes))
        cases = list(measure(store, end, since, options.raw_days, options.reports or names()))
        store.close()
    if options.format == "json":
        print(json.dumps(cases, indent=2))
        return
    table = Table(
        title=f"{options.days} days of {options.per_day:,} requests: ms, warm, least of three to twelve"
    )
    for column in cases[0]:
        table.add_column(column, justify="left" if column == "report" else "right")
    for case in cases:
        table.add_row(*(f"{v:,.0f}" if isinstance(v, float) else str(v) for v in case.values()))
    Console().print(table)


def _ask(
    name: str, store: Store, end: datetime, begin: datetime, where: dict[str, str], number: int
) -> object:
    return run(name, store, now=end, since=begin - timedelta(hours=number), where=where)


def measure(
    store: Store, end: datetime, since: datetime, raw_days: int, reports: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield how long each report takes on all days, and on the raw spans of the last ones with an attribute's value.

    Each time the window begins an hour earlier, where nothing is: the engine remembers which granules a condition did
    not meet, and would answer the same question from that.
    """
    raw = end - timedelta(days=raw_days)
    for name in track(reports, "asking reports", console=Console(stderr=True)):
        case: dict[str, Any] = {"report": name}
        for label, begin, where in (("all", since, {}), ("raw", raw, {"plan": "plan-1"})):
            try:
                took = best_ms(partial(_ask, name, store, end, begin, where))
            except ReportError as error:
                print(f"{name}, {label}: {error}", file=sys.stderr)
                took = (float("nan"), float("nan"))
            case |= {label: took[0], f"{label}, CPU": took[1]}
        case["load"] = f"{os.getloadavg()[0]:.1f}"
        yield case


if __name__ == "__main__":
    main()
