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
    BAD,
    PALETTE,
    Spec,
    colors,
    format_of,
    labels,
    local_time,
    meaning,
    quantity,
    room,
    tooltip_number,
    tooltips,
)
from headgate.queries.render.sankey import sankey
from headgate.queries.render.table import title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH, HEIGHT, BAR = 640, 240, 20
_OTHER = "other"


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
    for kind, draw in _DRAW.items():
        if isinstance(chart, kind):
            return Drawing(chart.title, _wrap(draw(chart, records)))
    raise TypeError(f"there is no way to draw a {type(chart).__name__}")


def _wrap(spec: Spec) -> Spec:
    return {"$schema": SCHEMA, "width": WIDTH, **spec}


def _timeline(chart: Timeline, records: Sequence[Mapping[str, Any]]) -> Spec:
    values = []
    for record in records:
        for name in chart.y:
            label = str(record[chart.series]) if chart.series else title(name)
            bounds = (
                [record[part] for part in chart.band]
                if chart.band
                else [
                    (record.get("uncertainty") or {}).get(name, {}).get(p) for p in ("low", "high")
                ]
            )
            values.append(
                {
                    "at": local_time(str(record[chart.x])),
                    "series": label,
                    "value": record[name],
                    "low": bounds[0],
                    "high": bounds[1],
                    "mark": bool(chart.marks and record[chart.marks]),
                }
            )
    names = list(dict.fromkeys(value["series"] for value in values))
    unit = quantity(chart.y[0])
    x = {
        "field": "at",
        "type": "temporal",
        "title": None,
        "scale": {"type": "utc"},
        "axis": {"labelOverlap": True},
    }
    highest = (value[name] for value in values for name in ("value", "high"))
    y = {**unit, "field": "value", "title": unit["title"] if len(chart.y) == 1 else None,
         "scale": room(highest)}  # fmt: skip
    color = {
        "field": "series",
        "type": "nominal",
        "title": None,
        "scale": colors(names),
        "legend": None if len(names) == 1 else {"orient": "top", "symbolOpacity": 1},
    }
    tips = [
        {"field": "at", "type": "temporal", "title": "at", "format": "%Y-%m-%d %H:%M"},
        {"field": "series", "title": "series"},
        {"field": "value", "title": "value", "format": format_of(chart.y[0])},
    ]
    line = {
        "mark": {
            "type": "line",
            "point": len(records) <= 60,
            "invalid": "break-paths-show-domains",
        },
        "encoding": {"x": x, "y": y, "color": color, "tooltip": tips},
        "params": [
            {"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"}
        ],
    }
    layers: list[Spec] = []
    if any(value["low"] is not None and value["high"] is not None for value in values):
        layers.append(
            {
                "mark": {"type": "area", "opacity": 0.18, "invalid": "break-paths-show-domains"},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": color,
                },
            }
        )
    layers.append(line)
    if chart.marks:
        layers.append(
            {
                "transform": [{"filter": "datum.mark"}],
                "mark": {"type": "point", "filled": True, "size": 90, "color": BAD, "opacity": 1},
                "encoding": {"x": x, "y": y, "tooltip": tips},
            }
        )
    return {"height": HEIGHT, "data": {"values": values}, "layer": layers}


def _bars(chart: Bars, records: Sequence[Mapping[str, Any]]) -> Spec:
    kept = [record for record in records if record[chart.value] is not None]
    label = labels(kept, chart.category)
    if chart.sort:
        kept = sorted(kept, key=lambda record: -record[chart.value])[: chart.limit]
    values = [
        {
            "category": label(r),
            "value": r[chart.value],
            **({"color": str(r[chart.color])} if chart.color else {}),
        }
        for r in kept
    ]
    order = list(dict.fromkeys(value["category"] for value in values))
    number = quantity(chart.value)
    if chart.log:
        number["scale"] = {"type": "symlog"}
        number["axis"]["labelOverlap"] = True
    encoding: Spec = {
        "y": {"field": "category", "type": "nominal", "sort": order, "title": None,
              "axis": {"labelLimit": 260}},
        "x": {**number, "field": "value"},
        "tooltip": [
            {"field": "category", "title": title(chart.category)},
            {"field": "value", "title": title(chart.value), "format": format_of(chart.value)},
        ],
    }  # fmt: skip
    if chart.color:
        names = list(dict.fromkeys(value["color"] for value in values))
        encoding["color"] = {"field": "color", "type": "nominal", "title": title(chart.color),
                             "scale": colors(names)}  # fmt: skip
    else:
        encoding["color"] = {"value": meaning(chart.value) or PALETTE[0]}
    return {"height": {"step": BAR}, "data": {"values": values},
            "mark": {"type": "bar", "cornerRadiusEnd": 2}, "encoding": encoding}  # fmt: skip


def _share(chart: Share, records: Sequence[Mapping[str, Any]]) -> Spec:
    ordered = sorted(records, key=lambda record: -(record[chart.value] or 0))
    label = labels(ordered, chart.category)
    values = [{"part": label(r), "value": r[chart.value] or 0} for r in ordered[: chart.limit]]
    rest = sum(record[chart.value] or 0 for record in ordered[chart.limit :])
    if rest:
        values.append({"part": _OTHER, "value": rest})
    whole = sum(value["value"] for value in values)
    for place, value in enumerate(values):
        value |= {"share": value["value"] / whole if whole else 0, "order": place}
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


def _scatter(chart: Scatter, records: Sequence[Mapping[str, Any]]) -> Spec:

    def axis(field: str) -> Spec:
        return quantity(field, scale=room((r[field] for r in records), log=chart.log))

    fields = [f for f in (chart.label, chart.x, chart.y, chart.size, chart.color) if f]
    encoding: Spec = {
        "x": axis(chart.x),
        "y": axis(chart.y),
        "tooltip": tooltips(*fields),
        "color": {"value": PALETTE[0]},
    }
    if chart.color:
        names = list(dict.fromkeys(str(record[chart.color]) for record in records))
        encoding["color"] = {"field": chart.color, "type": "nominal", "title": title(chart.color),
                             "scale": colors(names)}  # fmt: skip
    if chart.size:
        encoding["size"] = quantity(chart.size)
    # Colours are of names: a number that is no text would have none.
    values = [{f: str(r[f]) if f == chart.color else r[f] for f in fields} for r in records]
    return {"height": HEIGHT, "data": {"values": values},
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 0.75}, "encoding": encoding,
            "params": [{"name": "zoom", "select": "interval", "bind": "scales"}]}  # fmt: skip


def _heat_map(chart: HeatMap, records: Sequence[Mapping[str, Any]]) -> Spec:
    fields = (chart.x, chart.y, chart.value)
    values = [{field: record[field] for field in fields} for record in records]
    places = {
        axis: {"field": field, "type": "ordinal", "sort": None, "title": title(field),
               "axis": {"labelAngle": 0, "labelOverlap": True, "labelLimit": 160}}
        for axis, field in (("x", chart.x), ("y", chart.y))
    }  # fmt: skip
    return {"height": {"step": 24}, "data": {"values": values}, "mark": {"type": "rect"},
            "encoding": {**places,
                         "color": {**quantity(chart.value), "scale": {"scheme": "blues"},
                                   "legend": {"format": format_of(chart.value)}},
                         "tooltip": [*tooltips(chart.x, chart.y), tooltip_number(chart.value)]}}  # fmt: skip


def _histogram(chart: Histogram, records: Sequence[Mapping[str, Any]]) -> Spec:
    fields = (chart.low, chart.high, chart.count)
    return {"height": HEIGHT, "data": {"values": [{f: r[f] for f in fields} for r in records]},
            "mark": {"type": "bar", "color": PALETTE[0]},
            "encoding": {"x": quantity(chart.low, bin="binned"), "x2": {"field": chart.high},
                         "y": quantity(chart.count), "tooltip": [tooltip_number(f) for f in fields]}}  # fmt: skip


_DRAW: dict[type[Chart], Any] = {
    Timeline: _timeline,
    Bars: _bars,
    Share: _share,
    Scatter: _scatter,
    HeatMap: _heat_map,
    Histogram: _histogram,
}
