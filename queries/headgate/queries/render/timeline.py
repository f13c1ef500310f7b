"""Lines over time: by the clock of the time zone, broken where a period is missing, dashed where a window cuts one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headgate.queries.render.channels import (
    BAD,
    Spec,
    colors,
    format_of,
    quantity,
    room,
    unit_of,
    word,
)
from headgate.queries.render.wording import title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.queries.charts import Timeline

HEIGHT = 240
MOST_DOTS = 60  # beyond so many points only those are drawn that no line joins
_MOST_TICKS, _MONTH_DAYS, _YEAR_DAYS = 8, 31, 300
_NEXT = 1.5  # steps to what follows directly: months are 28 to 31 days
CUT = "dashed: a period that is not whole"
_BREAK = "break-paths-show-domains"


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, by the clock, a document's numbers are of: a period that reaches beyond is not whole."""

    since: datetime
    until: datetime


def span(document: Mapping[str, Any]) -> Span:
    """Return the span of a document whose times are by its clock; what has not happened yet is not in it."""
    window = document["window"]
    until = min(
        datetime.fromisoformat(window["until"]), datetime.fromisoformat(document["generated_at"])
    )
    return Span(_clock(window["since"]), until.replace(tzinfo=None))


def timeline(chart: Timeline, records: Sequence[Mapping[str, Any]], of: Span) -> Spec | None:
    """Return the specification: numbers on the x axis stay numbers, times and dates become moments.

    None where no value is known, or only one moment is: that is no course.
    """
    if all(record[name] is None for record in records for name in chart.y):
        return None
    if len({record[chart.x] for record in records}) < 2:
        return None
    numbered = isinstance(records[0][chart.x], int | float)
    lines = _lines(chart, records, of, numbered=numbered)
    values = [value for line in lines.values() for value in line]
    x: Spec = {"field": "at", "axis": {"labelOverlap": True, "labelFlush": False}}
    if numbered:
        x |= {"type": "quantitative", "title": title(chart.x), "scale": {"nice": False}}
    else:
        x |= {
            "type": "temporal",
            "axis": _dates([value["at"] for value in values]),
            "title": CUT if any(value["cut"] for value in values) else None,
            "scale": {"type": "utc", "padding": 8},
        }
    highest = (value[name] for value in values for name in ("value", "high"))
    unit = quantity(chart.y[0])
    y = {**unit, "field": "value", "scale": room(highest),
         "title": unit["title"] if len(chart.y) == 1 else unit_of(chart.y)}  # fmt: skip
    color = {
        "field": "series", "type": "nominal", "title": None, "scale": colors(list(lines)),
        "legend": None if len(lines) == 1 else {"orient": "top", "symbolOpacity": 1, "symbolType": "stroke"},
    }  # fmt: skip
    tips = [
        {"field": "shown", "title": title(chart.x) if numbered else "at"},
        {"field": "series", "title": "series"},
        {"field": "value", "title": "value", "format": format_of(chart.y[0])},
    ]
    both = {"x": x, "y": y, "color": color}
    layers: list[Spec] = []
    if any(value["low"] is not None and value["high"] is not None for value in values):
        band = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color}
        area = {"type": "area", "opacity": 0.18, "invalid": _BREAK}
        layers.append({"mark": area, "encoding": band})
    zoom = {"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"}
    layers.append(
        {"transform": [{"calculate": "datum.cut ? null : datum.value", "as": "whole"}],
         "mark": {"type": "line", "invalid": _BREAK},
         "encoding": {**both, "y": {**y, "field": "whole"}}, "params": [zoom]}
    )  # fmt: skip
    layers += _points(lines, both, tips)
    if chart.marks:
        layers.append(
            {"transform": [{"filter": "datum.mark"}],
             "mark": {"type": "point", "filled": True, "size": 90, "color": BAD, "opacity": 1},
             "encoding": {"x": x, "y": y, "tooltip": tips}}
        )  # fmt: skip
    return {"height": HEIGHT, "data": {"values": values}, "layer": layers}


def _lines(
    chart: Timeline, records: Sequence[Mapping[str, Any]], of: Span, *, numbered: bool
) -> dict[str, list[Spec]]:
    """Return the values of each line, in order."""
    cut = set[datetime]() if numbered else _cut(chart, records, of)
    lines: dict[str, list[Spec]] = {}
    for record in records:
        place = record[chart.x] if numbered else _clock(record[chart.x])
        for field in chart.y:
            label = word(chart.series, record[chart.series]) if chart.series else title(field)
            low, high = _bounds(chart, record, field)
            lines.setdefault(label, []).append(
                {"at": place if numbered else f"{place.isoformat()}Z",
                 "shown": str(place) if numbered else f"{place:%Y-%m-%d %H:%M}",
                 "series": label, "value": record[field], "low": low, "high": high,
                 "cut": place in cut, "mark": bool(chart.marks and record[chart.marks]),
                 **({} if numbered else {"start": str(record[chart.x])})}
            )  # fmt: skip
    if numbered:
        return lines
    starts: dict[str, list[datetime]] = {}
    for label, line in lines.items():
        # With their offsets, where they have any: where clocks are set back an hour comes twice.
        starts[label] = [datetime.fromisoformat(value.pop("start")) for value in line]
    every = [pair for times in starts.values() for pair in pairwise(times)]
    step = min((later - earlier for earlier, later in every), default=timedelta(0))
    return {label: _broken(line, starts[label], step) for label, line in lines.items()}


def _broken(line: Sequence[Spec], starts: Sequence[datetime], step: timedelta) -> list[Spec]:
    """Return a line with a gap wherever a period is left out, so that nothing is drawn across it."""
    found = [line[0]]
    for value, (before, at) in zip(line[1:], pairwise(starts), strict=True):
        if at - before > _NEXT * step:
            missing = (before + step).replace(tzinfo=None)
            known = {"at": f"{missing:%Y-%m-%dT%H:%M:%S}Z", "shown": f"{missing:%Y-%m-%d %H:%M}"}
            found.append(
                {**value, **known, "value": None, "low": None, "high": None, "mark": False}
            )
        found.append(value)
    return found


def _points(lines: Mapping[str, Sequence[Spec]], both: Spec, tips: list[Spec]) -> list[Spec]:
    """Return the layers of what is dashed and of the points, hollow where a period is not whole."""
    layers: list[Spec] = []
    if pieces := _pieces(lines):
        detail = {"field": "piece", "type": "nominal"}
        layers.append(
            {"data": {"values": pieces}, "mark": {"type": "line", "strokeDash": [4, 4]},
             "encoding": {**both, "detail": detail}}
        )  # fmt: skip
    dots = [value for line in lines.values() for value in _dotted(line)]
    for hollow in (False, True):
        chosen = [dot for dot in dots if dot["cut"] == hollow]
        if chosen:
            mark = {"type": "point", "size": 30, "filled": not hollow, "opacity": 1}
            encoding = {**both, "tooltip": tips}
            layers.append({"data": {"values": chosen}, "mark": mark, "encoding": encoding})
    return layers


def _clock(value: Any) -> datetime:
    """Return a time as the clock of its place shows it: charts have one axis and no offset."""
    return datetime.fromisoformat(str(value)).replace(tzinfo=None)


def _cut(chart: Timeline, records: Sequence[Mapping[str, Any]], of: Span) -> set[datetime]:
    """Return the starts of periods that are not whole, as the records say.

    Where they do not say, the shortest distance of two starts is taken for a period, and the window cuts it.
    """
    if "whole" in records[0]:
        return {_clock(record[chart.x]) for record in records if not record["whole"]}
    starts = sorted({_clock(record[chart.x]) for record in records})
    if len(starts) < 2:
        return set()
    step = min(later - earlier for earlier, later in pairwise(starts))
    return {s for s in starts if s < of.since or s < of.until < s + step}


def _dates(moments: Sequence[str]) -> Spec:
    """Return an axis that names days, and hours where there are any, at distances that leave room for the names."""
    hours = any("T00:00:00Z" not in moment for moment in moments)
    axis: Spec = {
        "labelOverlap": True,
        "labelExpr": "utcFormat(datum.value, utchours(datum.value) + utcminutes(datum.value) ? '%H:%M' : '%-d %b')",
    }
    if not hours:
        ends = [datetime.fromisoformat(moment) for moment in (min(moments), max(moments))]
        most = max((ends[1] - ends[0]).days, 1)
        axis["tickCount"] = (
            {"interval": "day", "step": max(-(-most // _MOST_TICKS), 1)}
            if most <= _MONTH_DAYS
            else _MOST_TICKS
        )
        named = "%-d %b" if most < _YEAR_DAYS else "%b %Y"
        axis["labelExpr"] = f"utcFormat(datum.value, '{named}')"
    return axis


def _bounds(chart: Timeline, record: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    if chart.band:
        return record[chart.band[0]], record[chart.band[1]]
    found = (record.get("uncertainty") or {}).get(name, {})
    return found.get("low"), found.get("high")


def _pieces(lines: Mapping[str, Sequence[Spec]]) -> list[Spec]:
    """Return the ends of every stretch that leads to or from a period that is not whole."""
    return [
        {**end, "piece": f"{label} {number}"}
        for label, line in lines.items()
        for number, ends in enumerate(pairwise(line))
        if any(end["cut"] for end in ends) and all(end["value"] is not None for end in ends)
        for end in ends
    ]


def _dotted(line: Sequence[Spec]) -> list[Spec]:
    """Return the values that get a point: all of a short line, of a long one those without a neighbour."""
    known = [value["value"] is not None for value in line]
    beside = [False, *known, False]
    return [
        value
        for number, value in enumerate(line)
        if known[number] and (len(line) <= MOST_DOTS or not (beside[number] or beside[number + 2]))
    ]
