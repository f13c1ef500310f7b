"""Charts as Vega-Lite (a Sankey diagram as Vega): declarations and a document in, specifications out; pure.

The specifications are plain data, drawn by vl-convert into pictures and by vega-embed in browsers. Colours carry
meaning where fields do: what went well is green, what failed red, what took too long amber.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headgate.queries.catalog import entry
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
from headgate.queries.render.bullet import bullet
from headgate.queries.render.channels import (
    PALETTE,
    Spec,
    colors,
    format_of,
    is_share,
    labels,
    meaning,
    quantity,
    room,
    tooltip_number,
    tooltips,
    word,
)
from headgate.queries.render.sankey import sankey
from headgate.queries.render.timeline import span, timeline
from headgate.queries.render.wording import title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH, HEIGHT, BAR = 640, 240, 20
_OTHER = "other"
_SERVICE = "service"
# Long names differ at their ends: what is left out is in the middle.
_SHORT = "length(datum.label) > 42 ? slice(datum.label, 0, 19) + '…' + slice(datum.label, -22) : datum.label"
_LETTERS = 55  # of labels side by side under a chart; longer ones are set aslant
_DECADE = 10


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart that can be drawn: `spec` is Vega-Lite, or Vega where `vega` says so."""

    title: str
    spec: Spec
    vega: bool = False


def drawings(document: Mapping[str, Any]) -> list[Drawing]:
    """Return the drawings of a document's charts that have anything to show, in the order declared."""
    found = (_draw(chart, document) for chart in entry(document["report"]).report.charts)
    return [drawing for drawing in found if drawing is not None]


def _draw(chart: Chart, document: Mapping[str, Any]) -> Drawing | None:
    summary = document["summary"]
    if isinstance(chart, Gauge):
        value = summary[chart.value]
        return None if value is None else Drawing(chart.title, _wrap(bullet(chart, value)))
    records = document["rows"] if chart.table == "rows" else summary[chart.table]
    if not records:
        return None
    if isinstance(chart, Flow):
        spec = sankey(chart, records, PALETTE)
        return None if spec is None else Drawing(chart.title, spec, vega=True)
    if isinstance(chart, Timeline):
        spec = timeline(chart, records, span(document))
    elif type(chart) in _DRAW:
        spec = _DRAW[type(chart)](chart, records)
    else:
        raise TypeError(f"there is no way to draw a {type(chart).__name__}")
    return None if spec is None else Drawing(chart.title, _wrap(spec))


def _wrap(spec: Spec) -> Spec:
    return {"$schema": SCHEMA, "width": WIDTH, **spec}


def _bars(chart: Bars, records: Sequence[Mapping[str, Any]]) -> Spec | None:
    kept = [record for record in records if record[chart.value] is not None]
    if not any(record[chart.value] for record in kept):
        return None
    label = labels(kept, chart.category)
    if chart.sort:
        kept = sorted(kept, key=lambda record: -record[chart.value])[: chart.limit]
    values = [
        {
            "category": label(r),
            "value": r[chart.value],
            "of": {f: word(f, r[f]) for f in (_SERVICE, chart.category) if f in r},
            **({"color": word(chart.color, r[chart.color])} if chart.color else {}),
        }
        for r in kept
    ]
    order = list(dict.fromkeys(value["category"] for value in values))
    number = quantity(chart.value)
    least = min(value["value"] for value in values)
    if chart.log and least > 0:
        number["scale"] = {"type": "log", "domainMin": least / 2, "nice": False}
    if chart.domain:
        number["scale"] = {"domain": list(chart.domain), "nice": False}
    encoding: Spec = {
        "y": {"field": "category", "type": "nominal", "sort": order, "title": None,
              "axis": {"labelLimit": 260, "labelExpr": _SHORT}},
        "x": {**number, "field": "value"},
        **({"x2": {"datum": least / 2}} if chart.log and least > 0 else {}),
        "tooltip": [
            {"field": "category", "title": title(chart.category)},
            {"field": "value", "title": title(chart.value), "format": format_of(chart.value)},
        ],
    }  # fmt: skip
    if chart.color:
        names = list(dict.fromkeys(value["color"] for value in values))
        encoding["color"] = {"field": "color", "type": "nominal", "title": title(chart.color),
                             "scale": colors(names)}  # fmt: skip
        if is_share(chart.value) and len(order) < len(values):
            # Shares of different wholes do not add up: beside each other, not on top.
            encoding["x"]["stack"] = None
            encoding["yOffset"] = {"field": "color", "type": "nominal", "sort": names}
    else:
        encoding["color"] = {"value": meaning(chart.value) or PALETTE[0]}
    return {"height": {"step": BAR}, "data": {"values": values},
            "mark": {"type": "bar", "cornerRadiusEnd": 2, "cursor": "pointer"}, "encoding": encoding}  # fmt: skip


def _share(chart: Share, records: Sequence[Mapping[str, Any]]) -> Spec | None:
    ordered = sorted(records, key=lambda record: -(record[chart.value] or 0))
    label = labels(ordered, chart.category)
    values: list[Spec] = [
        {"part": label(r), "value": r[chart.value] or 0} for r in ordered[: chart.limit]
    ]
    rest = sum(record[chart.value] or 0 for record in ordered[chart.limit :])
    if rest:
        values.append({"part": _OTHER, "value": rest})
    whole = sum(value["value"] for value in values)
    if not whole:
        return None
    for place, value in enumerate(values):
        value |= {"share": value["value"] / whole, "order": place}
    names = [value["part"] for value in values]
    # Parts too thin for a label beside them have it in the legend, as all have.
    shown = {value["part"]: f"{value['part']}  {value['share']:.1%}" for value in values}
    theta = {"field": "value", "type": "quantitative", "stack": True}
    order = {"field": "order", "type": "quantitative"}
    legend = {"labelExpr": f"({json.dumps(shown)})[datum.value]", "orient": "bottom", "columns": 2}
    color = {"field": "part", "type": "nominal", "title": None, "scale": colors(names), "sort": names,
             "legend": legend}  # fmt: skip
    tips = [*tooltips("part"), tooltip_number("value"), tooltip_number("share")]
    return {
        "height": HEIGHT,
        "data": {"values": values},
        "encoding": {"theta": theta, "order": order},
        "layer": [
            {"mark": {"type": "arc", "innerRadius": 55, "outerRadius": 95, "padAngle": 0.01},
             "encoding": {"color": color, "tooltip": tips}},
            {"mark": {"type": "text", "radius": 112},
             "encoding": {"text": {"field": "share", "format": ".0%"},
                          "opacity": {"condition": {"test": "datum.share < 0.03", "value": 0}, "value": 1}}},
        ],
    }  # fmt: skip


def _scatter(chart: Scatter, records: Sequence[Mapping[str, Any]]) -> Spec | None:
    records = [r for r in records if r[chart.x] is not None and r[chart.y] is not None]
    if not records:
        return None

    def axis(field: str) -> Spec:
        return quantity(field, scale=room((r[field] for r in records), log=chart.log))

    numbers = [f for f in (chart.x, chart.y, chart.size) if f]
    words = [f for f in (chart.label, chart.color) if f]
    values = [{f: r[f] for f in numbers} | {f: word(f, r[f]) for f in words} for r in records]
    encoding: Spec = {
        "x": axis(chart.x),
        "y": axis(chart.y),
        "tooltip": [*tooltips(*words), *map(tooltip_number, numbers)],
        "color": {"value": PALETTE[0]},
    }
    if chart.color:
        names = list(dict.fromkeys(value[chart.color] for value in values))
        encoding["color"] = {"field": chart.color, "type": "nominal", "title": title(chart.color),
                             "scale": colors(names)}  # fmt: skip
    if chart.size:
        encoding["size"] = quantity(chart.size)
    return {"height": HEIGHT, "data": {"values": values},
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 0.75}, "encoding": encoding,
            "params": [{"name": "zoom", "select": "interval", "bind": "scales"}]}  # fmt: skip


def _heat_map(chart: HeatMap, records: Sequence[Mapping[str, Any]]) -> Spec | None:
    if not any(record[chart.value] for record in records):
        return None
    values = [
        {"x": word(chart.x, r[chart.x]), "y": word(chart.y, r[chart.y]), "value": r[chart.value]}
        for r in records
    ]
    wide = (
        len({value["x"] for value in values}) * max(len(value["x"]) for value in values) > _LETTERS
    )
    # Of numbers, such as hours, some are enough; names are all needed.
    numbered = {axis: all(value[axis].isdigit() for value in values) for axis in ("x", "y")}
    places = {
        axis: {"field": axis, "type": "ordinal", "sort": None, "title": title(field),
               "axis": {"labelAngle": -40 if axis == "x" and wide and not numbered["x"] else 0, "labelLimit": 160,
                        "labelOverlap": numbered[axis], "labelSeparation": 3 if numbered[axis] else 0}}
        for axis, field in (("x", chart.x), ("y", chart.y))
    }  # fmt: skip
    tips = [
        {"field": axis, "title": title(field)} for axis, field in (("x", chart.x), ("y", chart.y))
    ]
    number = quantity(chart.value) | {"field": "value"}
    return {"height": {"step": 24}, "data": {"values": values}, "mark": {"type": "rect"},
            "encoding": {**places,
                         "color": {**number, "scale": {"scheme": "blues"},
                                   "legend": {"format": format_of(chart.value)}},
                         "tooltip": [*tips, {**tooltip_number(chart.value), "field": "value"}]}}  # fmt: skip


def _histogram(chart: Histogram, records: Sequence[Mapping[str, Any]]) -> Spec | None:
    if not any(record[chart.count] for record in records):
        return None
    fields = (chart.low, chart.high, chart.count)
    # Bins that grow with what they hold are drawn as wide as each other.
    log = (
        all(r[chart.low] > 0 for r in records)
        and records[-1][chart.high] > _DECADE * records[0][chart.low]
    )
    scale = {"type": "log", "nice": False} if log else {"nice": False}
    return {"height": HEIGHT, "data": {"values": [{f: r[f] for f in fields} for r in records]},
            "mark": {"type": "rect", "color": PALETTE[0], "stroke": "white", "strokeWidth": 0.5},
            "encoding": {"x": quantity(chart.low, scale=scale), "x2": {"field": chart.high},
                         "y": quantity(chart.count), "y2": {"datum": 0},
                         "tooltip": [tooltip_number(f) for f in fields]}}  # fmt: skip


_DRAW: dict[type[Chart], Any] = {
    Bars: _bars,
    Share: _share,
    Scatter: _scatter,
    HeatMap: _heat_map,
    Histogram: _histogram,
}
