"""A ledger that does not close is told, over HTTP and by the exit code."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from rich.console import Console

from headgate.cli.ledger import print_whole, table
from headgate.queries import ReportError
from headgate.web import create_app
from headgate.web.ledger import ledger

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def write(store, at: datetime, received: int, stored: int, stored_bytes: int = 8) -> None:
    store.client().insert(
        "ledger",
        [[at, "traces", "shop", received, stored, 8, stored_bytes]],
        column_names=[
            "Time",
            "Signal",
            "ServiceName",
            "Received",
            "Stored",
            "ReceivedBytes",
            "StoredBytes",
        ],
    )


def test_rows_close_or_do_not(store):
    """Each minute, signal and service is a row; one that misses an item is told, and so is the whole."""
    write(store, NOW - timedelta(minutes=2), 3, 3)
    assert ledger(store, "1h", None, NOW)["closes"]
    write(store, NOW - timedelta(minutes=1), 3, 2)
    found = ledger(store, "1h", None, NOW)
    assert [row["closes"] for row in found["rows"]] == [True, False]
    assert not found["closes"]
    assert ledger(store, "90s", "now", NOW)["rows"] == found["rows"][1:]
    write(store, NOW - timedelta(minutes=3), 3, 3, stored_bytes=7)
    by_bytes = ledger(store, "190s", "now", NOW)["rows"]
    assert [row["closes"] for row in by_bytes] == [False, True, False], "bytes count, too"
    with pytest.raises(ReportError, match="soon"):
        ledger(store, "soon", None, NOW)


def test_over_http(store):
    """What waits is stored first, and an unknown parameter is refused."""
    flushed = []

    async def ask(path: str) -> httpx.Response:
        app = create_app(store, flush=lambda: flushed.append(1), clock=lambda: NOW)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    write(store, NOW - timedelta(minutes=1), 3, 2)
    answer = asyncio.run(ask("/api/ledger?since=1h"))
    assert (answer.status_code, answer.json()["closes"], flushed) == (200, False, [1])
    assert asyncio.run(ask("/api/ledger?sinse=1h")).status_code == 400


OPEN = """
import sys
from pathlib import Path
from headgate.store import acquire, embedded_store, migrate
directory = acquire(Path(sys.argv[1]), "writer")
store = embedded_store(directory.engine_path)
migrate(store)
store.client().command(
    "INSERT INTO ledger (Time, Signal, ServiceName, Received, Stored)"
    " VALUES (now('UTC') - INTERVAL 1 MINUTE, 'traces', 'shop', 3, 2)"
)
store.close()
directory.close()
"""


def test_the_exit_code(tmp_path):
    """`headgate ledger` exits with 1 when a row does not close."""
    # Elsewhere, since a process can have one engine only.
    subprocess.run([sys.executable, "-c", OPEN, str(tmp_path)], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-m", "headgate.cli", "ledger", "--data", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert " NO" in done.stdout
    assert "1 row does not close." in done.stdout


def test_no_number_is_cut():
    """However narrow the terminal is, and whatever a service calls itself."""
    counts = dict.fromkeys(("received", "stored", "sampled_out", "rejected", "duplicate"), 12345678)
    name = "[/red]\x1b[2J" + "s" * 70_000
    row = {"time": 1_795_669_260, "signal": "metrics", "service": name, **counts}
    row |= {"received_bytes": 1_073_744_000, "other": 1234, "corrected": 1234, "closes": True}
    console = Console(width=80, file=io.StringIO())
    print_whole(console, table([row]))
    (line,) = [each for each in console.file.getvalue().splitlines() if "metrics" in each]
    shown = "[/red]\\x1b[2J" + "s" * 46 + "…"
    assert line.split()[:4] == ["2026-11-26", "05:01", "metrics", shown]
    assert line.split()[-10:] == 5 * ["12,345,678"] + ["1.07", "GB", "1,234", "1,234", "yes"]
