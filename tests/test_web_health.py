"""How the server is, for machines: ready or why not, Prometheus' text, the same numbers as JSON and on a screen."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from headgate.cli.status import screen
from headgate.collector.vitals import FATES, Vitals, together
from headgate.web import create_app
from headgate.web.health import Readiness, exposition

if TYPE_CHECKING:
    from headgate.store import Store

ROOT = Path(__file__).parents[1]
NOW_NS = 1_800_000_000_000_000_000
LOOK = Vitals(
    now_ns=NOW_NS,
    uptime_s=7260.0,
    accepting=True,
    items={
        fate: {"traces": 1000 * n, "metrics": 0, "logs": n}
        for n, fate in enumerate(reversed(FATES), 1)
    },
    backlog_bytes=123_456,
    waiting_segments=2,
    last_stored_ns=NOW_NS - 1_500_000_000,
    memory_bytes=10_000_000,
    memory_limit_bytes=256_000_000,
    resident_bytes=450_000_000,
    quarantined=0,
    broken_parts=0,
    refused=31,
    unauthorized=7,
    forgotten_early=5,
)


def ask(store: Store, path: str, look: Vitals | None = LOOK) -> httpx.Response:
    async def get() -> httpx.Response:
        app = create_app(
            store,
            flush=lambda: True,
            clock=lambda: datetime.now(UTC),
            look=None if look is None else lambda: look,
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(get())


def test_prometheus_reads_what_we_write() -> None:
    """By its own parser: every item count with its labels, gauges with their units in their names."""
    text = exposition(LOOK, {"traces": 0.25}).decode()
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    for fate, by_signal in LOOK.items.items():
        for signal, count in by_signal.items():
            key = ("headgate_items_total", ("fate", fate), ("signal", signal))
            assert found[key] == count
    assert found["headgate_unauthorized_requests_total",] == LOOK.unauthorized
    assert found["headgate_refused_requests_total",] == LOOK.refused
    assert found["headgate_forgotten_requests_total",] == LOOK.forgotten_early
    assert found["headgate_quarantined_total",] == 0
    assert found["process_cpu_seconds_total",] > 0
    assert found["headgate_backlog_bytes",] == LOOK.backlog_bytes
    assert found["headgate_uptime_seconds",] == LOOK.uptime_s
    assert found["headgate_last_stored_timestamp_seconds",] == NOW_NS / 1e9 - 1.5
    assert found["headgate_sampling_probability", ("signal", "traces")] == 0.25


def test_the_page_on_watching_has_every_metric() -> None:
    """And none that there is not."""
    page = (ROOT / "docs" / "how-to" / "watch-the-collector.md").read_text()
    text = exposition(LOOK, {"traces": 0.25}).decode()
    told = set(re.findall(r"`(headgate_\w+)", page))
    samples = {
        sample.name
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("headgate_")
    }
    assert told == samples


def test_workers_are_told_of_as_one() -> None:
    """Counts and sizes added up, the latest time of storing, the longest life; taking data while all do."""
    other = replace(LOOK, uptime_s=10.0, last_stored_ns=NOW_NS, refused=2, accepting=False)
    none = replace(LOOK, uptime_s=1.0, last_stored_ns=None)
    found = together([none, LOOK, other])
    assert found.items["received"] == {
        signal: 3 * count for signal, count in LOOK.items["received"].items()
    }
    assert (found.refused, found.backlog_bytes) == (2 * LOOK.refused + 2, 3 * LOOK.backlog_bytes)
    assert (found.uptime_s, found.last_stored_ns, found.accepting) == (7260.0, NOW_NS, False)
    assert together([none]).last_stored_ns is None


def test_before_the_first_segment_there_is_no_time_of_one() -> None:
    """Absent, not zero."""
    assert b"last_stored" not in exposition(replace(LOOK, last_stored_ns=None), {})


def test_ready_or_why_not(store: Store) -> None:
    """200 while it takes data and the store answers; 503 with the reason while it stops or the store does not."""
    assert ask(store, "/readyz").status_code == 200
    stopping = ask(store, "/readyz", replace(LOOK, accepting=False))
    assert (stopping.status_code, stopping.json()["reason"]) == (503, "the server is stopping")
    store.database = "gone"
    broken = ask(store, "/readyz")
    assert broken.status_code == 503
    assert "the store does not answer: " in broken.json()["reason"]
    assert ask(store, "/healthz").status_code == 200


def test_reports_keep_no_probe_waiting(store: Store) -> None:
    """All threads that answer reports are taken: /readyz, /metrics and /api/status answer all the same."""
    over = threading.Event()

    async def exchange() -> list[int]:
        app = create_app(
            store,
            flush=lambda: over.wait(60),
            clock=lambda: datetime.now(UTC),
            look=lambda: LOOK,
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            reports = [asyncio.create_task(client.get("/api/reports/usage")) for _ in range(8)]
            await asyncio.sleep(0)
            paths = ("/readyz", "/metrics", "/api/status")
            try:
                found = [(await client.get(path)).status_code for path in paths]
                assert not any(report.done() for report in reports)
            finally:
                over.set()
            await asyncio.gather(*reports)
            return found

    assert asyncio.run(exchange()) == [200, 200, 200]


def test_a_store_that_hangs_is_asked_once() -> None:
    """However many probes come: each is told after a while, and the next answer is everybody's."""
    over = threading.Event()
    asked: list[int] = []

    def reason() -> str | None:
        asked.append(1)
        over.wait(60)
        return None

    async def probe() -> tuple[list[str | None], str | None]:
        readiness = Readiness(reason, 0.05)
        hung = await asyncio.gather(*(readiness.ask() for _ in range(5)))
        hung.append(await readiness.ask())
        over.set()
        while (now := await readiness.ask()) is not None:
            pass
        return hung, now

    assert asyncio.run(probe()) == (["the store has not answered for 0.05 s"] * 6, None)
    assert len(asked) <= 2


def test_status_is_the_same_in_json(store: Store) -> None:
    """Fates by signal at the top, as before, and the rest beside them."""
    found = ask(store, "/api/status").json()
    assert found["received"] == LOOK.items["received"]
    assert found["waiting_segments"] == 2
    assert found["sampling"] == {}


@pytest.mark.parametrize("path", ["/metrics", "/api/status"])
def test_without_a_collector_there_is_nothing_to_tell(store: Store, path: str) -> None:
    """404, while the process is alive and ready."""
    assert ask(store, path, None).status_code == 404
    assert ask(store, "/readyz", None).status_code == 200


def shown(**found: Any) -> str:
    base = {
        **LOOK.items, "now_ns": NOW_NS, "uptime_s": LOOK.uptime_s, "accepting": True, "sampling": {"traces": 0.25},
        "backlog_bytes": 123_456, "waiting_segments": 1, "last_stored_ns": NOW_NS - 1_500_000_000, "quarantined": 0,
        "broken_parts": 0, "refused": 0,
        "memory_bytes": 10_000_000, "memory_limit_bytes": 256_000_000, "resident_bytes": 450_000_000,
    }  # fmt: skip
    console = Console(width=100, record=True, file=io.StringIO())
    before = {
        **base,
        "now_ns": NOW_NS - 2_000_000_000,
        "received": {"traces": 0, "metrics": 0, "logs": 0},
    }
    console.print(screen({**base, **found}, before))
    return console.export_text()


def test_the_screen_says_it_in_units_people_use() -> None:
    """Rates are items a second between two looks; quarantine is shown when there is something in it."""
    text = shown()
    assert "headgate takes data · up 2.0 h" in text
    assert "2,500" in text  # 5000 received in two seconds
    assert "1 segment, journal 123.5 kB" in text
    assert "10.0 MB of 256.0 MB" in text
    assert "traces 25.0%" in text
    assert "quarantined" not in text
    assert "broken" not in text
    assert "3 pieces:" in shown(quarantined=3)
    assert "1 piece:" in shown(quarantined=1)
    assert "2 that the engine could not write" in shown(broken_parts=2)
    assert "come again" not in text
    assert "1,200 requests" in shown(refused=1200)
