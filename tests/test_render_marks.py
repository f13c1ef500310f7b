"""No chart of any report comes out empty when its data is there: the pictures are parsed and their marks counted."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from report_rows import NOW, add_spans

from headgate.queries import entry, names, run
from headgate.queries.charts import Flow, Gauge, Timeline
from headgate.queries.render.clock import local
from headgate.queries.render.picture import svg
from headgate.queries.render.vega import drawings
from headgate.store import embedded_store, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.queries.charts import Chart
    from headgate.store import Store

STEPS = ("look", "choose", "pay")
QUESTIONS = {
    "a day": {"since": "24h"},
    "a month": {"since": "30d", "timezone": "Asia/Kathmandu"},
}
OWN: dict[str, dict[str, Any]] = {"cost": {"per_request": 0.01}}


@pytest.fixture(scope="module")
def shop(engine_path: Path) -> Iterator[Store]:
    """Make a month of sessions that look, choose and pay, busier by day, and of failures at the till."""
    store = embedded_store(engine_path, "test_marks")
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")
    spans = []
    for hour in range(30 * 24):
        for session in range(4 if hour % 24 in range(8, 18) else 1):
            for place, step in enumerate(STEPS[: 1 + (hour + session) % 3]):
                failed = step == "pay" and (hour + session) % 4 == 0
                spans.append(
                    {"Timestamp": NOW - timedelta(hours=hour, minutes=20 + session, seconds=-place),
                     "ServiceName": "till" if step == "pay" else "shop", "SpanName": step,
                     "TraceId": f"{hour:x}-{session}-{place}", "StatusCode": "Error" if failed else "Unset",
                     "Duration": (1 + hour % 7) * (place + 1) * 3_000_000,
                     "SpanAttributes": {"user.id": f"u{hour % 9}", "session.id": f"{hour}-{session}",
                                        "http.response.status_code": "500" if failed else "200",
                                        **({"error.type": f"E{hour % 2}"} if failed else {})}}
                )  # fmt: skip
    add_spans(store, spans)
    yield store
    store.client().command("DROP DATABASE test_marks SYNC")
    store.close()


@pytest.mark.parametrize("name", names())
def test_every_chart_shows_what_its_records_say(shop: Store, name: str) -> None:
    """Charts with numbers in their records are drawn, and what is drawn has marks with a colour and a place."""
    drawn = 0
    for question in QUESTIONS.values():
        asked = {**question, **OWN.get(name, {}), "where": {"": ""}}
        document = local(run(name, shop, now=NOW, **asked).to_dict())
        found = {drawing.title: drawing for drawing in drawings(document)}
        for chart in entry(name).report.charts:
            assert (chart.title in found) or not has_data(chart, document), chart.title
        for title, drawing in found.items():
            assert marks(svg(drawing)) >= 1, f"{title} of {question} is empty"
            drawn += 1
    # No collector was at work here, and nothing rises and falls with anything else.
    assert drawn or name in {"sampling", "correlation"}


def test_an_hour_is_a_moment_on_the_axis(shop: Store) -> None:
    """A day by the hour draws a point for each hour it has, by the clock of the zone (24 and the one it cuts)."""
    for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns"):
        question = {"since": "24h", "timezone": zone}
        document = local(run("usage", shop, now=NOW, where={"": ""}, **question).to_dict())
        timeline = document["summary"]["timeline"]
        drawing = drawings(document)[0]
        shown = [value["shown"] for value in drawing.spec["data"]["values"]]
        assert shown == [period["period"][:16].replace("T", " ") for period in timeline]
        assert svg(drawing).count('aria-roledescription="point"') == len(timeline) >= 24


def test_a_period_that_the_window_cuts_is_dashed(shop: Store) -> None:
    """The line ends at the last whole day; a dashed one leads on to the running day, and the axis says so."""
    now = NOW - timedelta(hours=13)
    document = run(
        "usage", shop, now=now, since="2026-11-14", until="now", where={"": ""}
    ).to_dict()
    picture = svg(drawings(document)[0])
    assert "dashed: a period that is not whole" in picture
    dashed = re.findall(r'<path [^>]*stroke-dasharray="4,4"[^>]*>', picture)
    whole = re.findall(
        r'aria-roledescription="line mark" d="([^"]+)"[^>]*stroke-width="2"', picture
    )
    assert len(dashed) == 1
    ends = [re.findall(r"[ML]([\d.]+),", path) for path in whole]
    assert float(ends[0][-1]) == pytest.approx(
        8 + 624 * 4 / 5, abs=3
    )  # the fifth of six days, with room at both ends


def has_data(chart: Chart, document: dict[str, Any]) -> bool:
    """Whether a chart's records hold what it is for: a number, of lines two moments."""
    if isinstance(chart, Gauge):
        return document["summary"][chart.value] is not None
    records = document["rows"] if chart.table == "rows" else document["summary"][chart.table]
    if isinstance(chart, Timeline):
        known = {r[chart.x] for r in records if any(r[y] is not None for y in chart.y)}
        return len(known) > 1
    if isinstance(chart, Flow):
        return any(r[chart.value] for r in records)
    field = (
        getattr(chart, "value", None) or getattr(chart, "count", None) or getattr(chart, "y", "")
    )
    return any(r[field] for r in records)


def marks(picture: str) -> int:
    """Return how many marks can be seen: paths with a place that is a number, and a fill or a stroke."""
    seen = 0
    for group in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}g"):  # noqa: S314  # our own
        if "role-mark" not in group.get("class", "") or "mark-text" in group.get("class", ""):
            continue
        for path in group.findall("{http://www.w3.org/2000/svg}path"):
            place = path.get("d", "") + path.get("transform", "")
            visible = {path.get("fill"), path.get("stroke")} - {None, "none", "transparent"}
            seen += bool(visible and re.search(r"\d", place) and "NaN" not in place)
    return seen
