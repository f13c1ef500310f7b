"""A gauge as a bullet: a marker on a scale of bands, easier to read than a dial and true at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.queries.render.channels import Spec, band_colors, format_of, quantity
from headgate.queries.render.wording import title

if TYPE_CHECKING:
    from headgate.queries.charts import Gauge


def bullet(chart: Gauge, value: float) -> Spec:
    """Return the Vega-Lite specification of a number; beyond the scale its marker stands at the end."""
    start, bands = chart.low, []
    for end, word in chart.bands:
        bands.append({"from": start, "to": min(end, chart.high), "word": word})
        start = min(end, chart.high)
    shown = min(max(value, chart.low), chart.high)
    number = quantity(chart.value, scale={"domain": [chart.low, chart.high], "nice": False})
    words = [word for _, word in chart.bands]
    return {
        "height": 44,
        "layer": [
            {"data": {"values": bands}, "mark": {"type": "bar", "opacity": 0.35, "height": 26},
             "encoding": {"x": {**number, "field": "from"}, "x2": {"field": "to"},
                          "color": {"field": "word", "type": "nominal", "title": None, "sort": words,
                                    "scale": {"domain": words, "range": band_colors(words)},
                                    "legend": {"orient": "top"}}}},
            {"data": {"values": [{"value": shown, "true": value}]},
             "mark": {"type": "tick", "thickness": 5, "size": 40},
             "encoding": {"x": {**number, "field": "value"},
                          "tooltip": [{"field": "true", "title": title(chart.value),
                                       "format": format_of(chart.value)}]}},
        ],
    }  # fmt: skip
