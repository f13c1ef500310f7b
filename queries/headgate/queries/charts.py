"""Charts as declarations: which fields of an answer's document become which picture.

A report lists them; `headgate.queries.render` draws them, as Vega-Lite, wherever an answer is shown. `table` is
`rows` or the name of a list of records in the summary. Fields keep their names, so units come from there too.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What every chart has: a title that says what it shows, and where its records come from."""

    title: str
    table: str = "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(Chart):
    """Lines over time, with zoom: `x` is a time or a date, each of `y` (or each value of `series`) a line.

    `band` names the fields of a lower and an upper bound, drawn as an area behind a single line; estimates bring
    their own interval. A period without a value (null) is a gap, never interpolated (REQ-CAP-24).
    """

    x: str
    y: tuple[str, ...]
    series: str | None = None
    band: tuple[str, str] | None = None
    marks: str | None = (
        None  # a field that is true where a point is to be marked: an anomaly, a change
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars(Chart):
    """Horizontal bars, the `limit` longest first, or all in their order when `sort` is False; `color` colours them.

    `domain` are the ends of the axis where they mean something; a `log` axis begins at half the shortest bar.
    """

    category: str
    value: str
    color: str | None = None
    sort: bool = True
    limit: int = 20
    log: bool = False
    domain: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(Chart):
    """Parts of a whole, labelled in per cent; what does not fit is one part called `other`."""

    category: str
    value: str
    limit: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter(Chart):
    """Points, one a record; `log` scales both axes."""

    x: str
    y: str
    label: str
    color: str | None = None
    size: str | None = None
    log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap(Chart):
    """A grid of coloured cells: hour by weekday, from by to; fields hold the positions in order."""

    x: str
    y: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge(Chart):
    """One number of the summary on a scale with thresholds.

    `bands` are (upper end, word) from low to high: where good ends, where attention ends, where bad ends.
    """

    value: str
    low: float
    high: float
    bands: tuple[tuple[float, str], ...]
    table: str = "summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram(Chart):
    """Counted bins: `low` and `high` are a bin's edges, `count` how many it holds."""

    low: str
    high: str
    count: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow(Chart):
    """What leads to what: a Sankey diagram of `value` from `source` to `target`."""

    source: str
    target: str
    value: str
    limit: int = 40
