"""Charts: every kind is drawn from records, says what they say, and copes with what is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from headgate.queries import catalog
from headgate.queries.charts import (
    Bars,
    Chart,
    Flow,
    Gauge,
    HeatMap,
    Histogram,
    Scatter,
    Share,
    Timeline,
)
from headgate.queries.render.picture import as_png, svg
from headgate.queries.render.vega import drawings

DAYS = [
    {"date": f"2026-03-{day:02}", "calls": calls, "failure_count": 1, "odd": day == 3,
     "uncertainty": {"calls": {"low": 1, "high": 99}}}
    for day, calls in ((1, 40), (2, None), (3, 70), (4, 20))
]  # fmt: skip
OPERATIONS = [
    {"service": s, "operation": f"GET /{n}", "calls": 100 - 7 * n, "p95_ms": 3.5 * n, "share": 0.1}
    for n, s in enumerate(["shop", "shop", "till", "till"])
]
CELLS = [{"hour": h, "weekday": d, "calls": h} for d in ("Mon", "Tue") for h in (8, 9, 10)]
BINS = [{"low_ms": low, "high_ms": low + 10, "count": low} for low in (10, 20, 30)]
MARCH: dict[str, Any] = {
    "report": "usage", "params": {"timezone": "UTC", "where": {}}, "exact": True,
    "window": {"since": "2026-03-01T00:00:00Z", "until": "2026-03-05T00:00:00Z"},
    "generated_at": "2026-03-05T00:00:00Z",
}  # fmt: skip
STEPS = [
    {"step": "look", "next_step": "buy", "count": 30},
    {"step": "look", "next_step": "leave", "count": 60},
    {"step": "search", "next_step": "buy", "count": 10},
]


@dataclass(frozen=True)
class Case:
    """A chart, records for it, and texts that must stand in the picture."""

    chart: Chart
    records: list[dict[str, Any]]
    says: tuple[str, ...]


GAUGE = Gauge(title="g", value="error_rate", low=0, high=1, bands=((0.2, "good"), (1, "alert")))
COLOURED = Bars(title="b", category="operation", value="p95_ms", color="service", log=True)
SCATTER = Scatter(title="x", x="calls", y="p95_ms", label="operation", color="service")
CASES = [
    Case(Timeline(title="t", x="date", y=("calls", "failure_count")), DAYS, ("calls", "failure count")),
    Case(Timeline(title="t", x="date", y=("calls",), marks="odd"), DAYS, ("calls",)),
    Case(Bars(title="b", category="operation", value="calls"), OPERATIONS, ("shop GET /0", "till GET /3")),
    Case(COLOURED, OPERATIONS, ("p95 (ms)",)),
    Case(Share(title="s", category="operation", value="calls", limit=2), OPERATIONS,
         ("shop GET /0  27.9%", "other  46.1%", "46%")),
    Case(SCATTER, OPERATIONS, ("p95 (ms)", "till")),
    Case(HeatMap(title="h", x="hour", y="weekday", value="calls"), CELLS, ("Mon", "Tue", "10")),
    Case(GAUGE, [], ("good", "alert")),
    Case(Histogram(title="i", low="low_ms", high="high_ms", count="count"), BINS, ("low (ms)",)),
    Case(Flow(title="f", source="step", target="next_step", value="count"), STEPS, ("look", "leave", "search")),
]  # fmt: skip


@pytest.fixture
def draw(monkeypatch):
    """Return a function that gives a report a chart and its document records, and returns the drawings."""

    def drawn(chart: Chart, records: list[dict[str, Any]], **summary: Any):
        usage = catalog.entry("usage")
        report = replace(usage.report, charts=(chart,))
        monkeypatch.setattr(
            "headgate.queries.render.vega.entry", lambda _: replace(usage, report=report)
        )
        return drawings(MARCH | {"rows": records, "summary": summary})

    return drawn


@pytest.mark.parametrize(
    "chart",
    [
        Bars(title="b", category="operation", value="calls", color="p95_ms"),
        Scatter(title="s", x="calls", y="share", label="operation", color="p95_ms"),
    ],
    ids=lambda chart: type(chart).__name__,
)
def test_numbers_have_colours_as_names_have(draw, chart: Chart) -> None:
    """Marks coloured by a number are filled, each number with a colour of its own."""
    (drawing,) = draw(chart, OPERATIONS, error_rate=0.07)
    fills = re.findall(r'aria-roledescription="(?:bar|point)"[^>]*fill="(#\w+)"', svg(drawing))
    assert len(set(fills)) == len(OPERATIONS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case.chart).__name__)
def test_every_kind_is_drawn(draw, case: Case) -> None:
    """As SVG, with the names of the records and the units of the fields as text."""
    (drawing,) = draw(case.chart, case.records, error_rate=0.07)
    picture = svg(drawing)
    texts = set(re.findall(r"<text[^>]*>([^<]+)</text>", picture))
    assert set(case.says) <= texts


def test_bars_are_as_many_and_as_long_as_records(draw) -> None:
    """Longest first; more than the limit are left out."""
    (drawing,) = draw(Bars(title="b", category="operation", value="p95_ms", limit=3), OPERATIONS)
    values = [value["value"] for value in drawing.spec["data"]["values"]]
    assert values == [10.5, 7.0, 3.5]
    assert svg(drawing).count('aria-roledescription="bar"') == 3


def test_shares_of_different_wholes_are_not_added(draw) -> None:
    """Bars of two shares of one operation stand beside each other; counts of the same stand on one another."""
    twice = [
        {"service": "s", "operation": "o", "outcome": o, "kept_share": 0.9, "calls": 9}
        for o in ("ok", "error")
    ]
    for value, lanes in (("kept_share", 2), ("calls", 1)):
        (drawing,) = draw(
            Bars(title="b", category="operation", value=value, color="outcome"), twice
        )
        tops = re.findall(r'aria-roledescription="bar" d="M[\d.]+,([\d.]+)', svg(drawing))
        assert len(tops) == 2
        assert len(set(tops)) == lanes


def test_parts_add_up_to_the_whole(draw) -> None:
    """What exceeds the limit is one part, and shares are of everything."""
    (drawing,) = draw(Share(title="s", category="operation", value="calls", limit=2), OPERATIONS)
    values = drawing.spec["data"]["values"]
    assert [value["part"] for value in values] == ["shop GET /0", "shop GET /1", "other"]
    assert sum(value["value"] for value in values) == sum(r["calls"] for r in OPERATIONS)
    assert sum(value["share"] for value in values) == pytest.approx(1)


def test_a_missing_value_is_a_gap(draw) -> None:
    """The line of calls breaks on the day without a value instead of joining its neighbours (REQ-CAP-24)."""
    (drawing,) = draw(Timeline(title="t", x="date", y=("calls",)), DAYS)
    lines = re.findall(r'aria-roledescription="line mark"[^>]* d="([^"]+)"', svg(drawing))
    assert sum(path.count("M") for path in lines) == 2


def test_a_day_that_is_left_out_is_a_gap_too(draw) -> None:
    """Records that skip a day are not joined across it; months of unlike lengths follow each other."""
    for days, pieces in (([1, 2, 4, 5], 2), ([1, 2, 3, 4], 1)):
        records = [{"date": f"2026-03-{day:02}", "calls": day} for day in days]
        (drawing,) = draw(Timeline(title="t", x="date", y=("calls",)), records)
        lines = re.findall(r'aria-roledescription="line mark"[^>]* d="([^"]+)"', svg(drawing))
        assert sum(path.count("M") for path in lines) == pieces
    months = [{"date": f"2026-{month:02}-01", "calls": 1 + month} for month in range(1, 7)]
    (drawing,) = draw(Timeline(title="t", x="date", y=("calls",)), months)
    assert [value["value"] for value in drawing.spec["data"]["values"]] == [2, 3, 4, 5, 6, 7]


def test_nothing_is_not_drawn(draw) -> None:
    """No records, no flow and no number make no chart; asking for a picture then says why there is none."""
    assert draw(Bars(title="b", category="operation", value="calls"), []) == []
    empty = [{"step": "a", "next_step": "b", "count": 0}]
    assert draw(Flow(title="f", source="step", target="next_step", value="count"), empty) == []
    assert draw(Gauge(title="g", value="v", low=0, high=1, bands=((1, "good"),)), [], v=None) == []


def test_flows_leave_and_arrive_completely(draw) -> None:
    """Bands are as wide as their flow, and the nodes of both sides as high as what they pass on."""
    (drawing,) = draw(Flow(title="f", source="step", target="next_step", value="count"), STEPS)
    nodes = {node["name"]: node["size"] for node in drawing.spec["data"][1]["values"]}
    assert nodes["look"] / nodes["search"] == pytest.approx(9)
    assert nodes["leave"] / nodes["buy"] == pytest.approx(60 / 40)
    assert nodes["look"] + nodes["search"] == pytest.approx(nodes["leave"] + nodes["buy"])
    assert (
        max(n["y"] + n["size"] for n in drawing.spec["data"][1]["values"])
        <= drawing.spec["height"] + 1e-6
    )


def test_a_picture_is_a_picture(draw) -> None:
    """PNG begins with its signature and is as wide as the chart at twice a screen's density."""
    draw(Bars(title="b", category="operation", value="calls"), OPERATIONS)
    picture = as_png(MARCH | {"rows": OPERATIONS, "summary": {"source": "usage_day"}}, chart=1)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20], "big") > 1200
