"""What an export of raw rows costs: time, CPU, and memory above that of the idle process.

Ten million uses (by default) are made inside the embedded engine, columns filled as real ones are, and exported in each
format by a process of its own that does nothing else. `idle` is that process with the engine open and asked once;
`above` is how far its resident memory rose over that at most. Beside it the plain way: the rows as a pandas
DataFrame, then `to_csv`, on `--pandas` rows. An Excel workbook gets `--sheet` rows.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from month_data import add_events
from rich.console import Console
from rich.table import Table

from headgate.queries.export import extract, write
from headgate.queries.window import Window
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.store import Store

END = datetime(2026, 11, 20, tzinfo=UTC)
MIB = 1 << 20
MADE_AT_ONCE = 1_000_000


def fill(place: Path, rows: int, days: int) -> None:
    """Make the uses, so many a day, the days before END."""
    store = embedded_store(place)
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")
    first = 0
    for number in range(days):
        day = int((END - timedelta(days=days - number)).timestamp())
        until = rows * (number + 1) // days
        while first < until:
            count = min(MADE_AT_ONCE, until - first)
            add_events(store, day, first, count)
            first += count
    store.close()


def resident(key: str) -> float:
    """Return this process's resident memory in MiB: `VmRSS` now, `VmHWM` at most since it was last reset."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {key}: this needs Linux")


def by_headgate(store: Store, path: Path, format_: str, window: Window) -> int:
    """Export through the library, as the command and the server do."""
    asked = extract("events", (), window, store.tables(), format_=format_)
    return write(store, asked, path, lambda _: None).rows


def by_pandas(store: Store, path: Path, _: str, window: Window) -> int:
    """Fetch a DataFrame and write it."""
    frame = store.client().query_df(
        "SELECT * FROM events WHERE Timestamp >= {since:DateTime64(9, 'UTC')}"
        " AND Timestamp < {until:DateTime64(9, 'UTC')} ORDER BY Timestamp LIMIT {rows:UInt64}",
        parameters={"since": window.since, "until": window.until, "rows": ROWS_OF_PANDAS},
    )
    frame.to_csv(path, index=False)
    return len(frame)


ROWS_OF_PANDAS = 500_000
WAYS: dict[str, Callable[[Store, Path, str, Window], int]] = {
    "headgate": by_headgate,
    "pandas": by_pandas,
}


def export(place: Path, way: str, format_: str, since: datetime) -> dict[str, Any]:
    """Export in this process and return what it took."""
    store = embedded_store(place)
    store.client().query("SELECT count() FROM events WHERE Duration > 0")
    idle = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    began, cpu = time.perf_counter(), time.process_time()
    path = place.parent / f"rows.{format_}"
    rows = WAYS[way](store, path, format_, Window(since, END))
    took = {
        "format": f"{way}, {format_}",
        "rows": rows,
        "file_mib": round(path.stat().st_size / MIB),
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "idle_mib": round(idle),
        "above_mib": round(resident("VmHWM") - idle),
    }
    path.unlink()
    store.close()
    return took


def main() -> None:
    """Make the rows, export them in every format, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=10, help="over so many days")
    parser.add_argument("--sheet", type=int, default=200_000, help="rows of the workbook")
    parser.add_argument("--formats", default="csv,jsonl,parquet,xlsx,pandas")
    parser.add_argument("--data", type=Path, help="keep the store here; an earlier run's is used")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    apart = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        place = (asked.data or Path(scratch)) / "clickhouse"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with apart.Pool(
                1
            ) as pool:  # the engine belongs to one process, and this one must not have it
                pool.apply(fill, (place, asked.rows, asked.days))
        found = []
        for name in asked.formats.split(","):
            # A workbook of all rows would take minutes: it gets the last part of the window.
            share = asked.sheet / asked.rows if name == "xlsx" else 1
            since = END - timedelta(days=asked.days) * min(share, 1)
            way = ("pandas", "csv") if name == "pandas" else ("headgate", name)
            with apart.Pool(1) as pool:
                found.append(pool.apply(export, (place, *way, since)))
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    table = Table(*(name.replace("_", " ") for name in (*found[0], "rows a CPU s")))
    for row in found:
        speed = row["rows"] / max(row["cpu_s"], 0.1)
        table.add_row(
            *(f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()), f"{speed:,.0f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
