"""Fields and values as people read them: titles without underscores, numbers with their unit, estimates with bounds.

A unit is taken from the field's name, and so is what a text is: a name, a metric, a time.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from headgate.queries.render.readable import named, readable
from headgate.queries.render.spark import spark

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = {
    "service",
    "operation",
    "user",
    "source",
    "target",
    "value",
    "error_type",
    "first",
    "second",
}
LARGE_ODDS = 1000  # beyond it the ratio says no more than that one side has next to nothing
_SYMMETRIC_WITHIN = 0.15
_LISTED = 5  # of a list in a cell
# Zero of the one means that the other was not measured.
_MEASURED_BY = {"avg_quality_score": "scored_calls", "transferred_bytes": "transferred_bytes"}
_OF_METRIC = {"value", "against", "difference", "low", "high", "before", "after"}
_TITLES = {"daily_series": "by day", "day_series": "by hour of the day"}
_MS_STEPS = ((3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))


def title(name: str) -> str:
    """Return a field's name as people read it."""
    if name in _TITLES:
        return _TITLES[name]
    for suffix, said in (("_ms", ""), ("_at", ""), ("_series", " by period")):
        if name.endswith(suffix):
            name = name.removesuffix(suffix) + said
    return name.replace("_", " ")


def cell(name: str, row: Mapping[str, Any]) -> str:
    """Return a record's value as people read it, `-` for what was not measured; one of a `metric` has its unit."""
    if name in _MEASURED_BY and not row.get(_MEASURED_BY[name], True):
        return "-"
    unit = row["metric"] if name in _OF_METRIC and "metric" in row else name
    return show(unit, row[name], row.get("uncertainty", {}).get(name))


def show(name: str, value: Any, uncertainty: dict[str, float | None] | None = None) -> str:
    """Return a value as people read it, its unit taken from its field's name."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return spark(value) if name.endswith("_series") else _listed(value)
    if isinstance(value, str):
        return _words(name, value)
    if name.startswith("odds_ratio") and value > LARGE_ODDS:
        return f"over {LARGE_ODDS:,}"
    return _estimate(name, value, uncertainty) if uncertainty else _number(name, value)


def _listed(items: list[Any]) -> str:
    """Return the first of many items, and how many more there are."""
    more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return ", ".join(readable(str(item)) for item in items[:_LISTED]) + more


def _words(field: str, text: str) -> str:
    if field.endswith("_at"):
        return moment(text)
    if field == "metric":
        return title(text)
    if field.endswith("weekday"):
        return text.capitalize()
    return named(text) if field in _NAMES else readable(text)


def _estimate(name: str, value: float, uncertainty: dict[str, float | None]) -> str:
    low, high = uncertainty["low"], uncertainty["high"]
    if (value, low, high) == (0, 0, None):
        return "-"  # at least nothing
    if low == high:
        return f"~{_number(name, value)}"
    if value in {low, high} and None in {low, high}:
        return ("≥" if high is None else "≤") + _number(name, value)
    ends = [part for part in (low, high) if part is not None]
    # Digits that the interval makes meaningless are left out.
    coarse = not name.endswith("_ms") and max(abs(end - value) for end in ends) >= 1
    like = float(round(value)) if coarse else value
    number, _, unit = _number(name, value, like).partition(" ")

    def bare(part: float) -> str:
        return _number(name, part, like).partition(" ")[0]

    if low is None or high is None:
        bound = f"≥{bare(low)}" if low is not None else f"≤{bare(high or 0.0)}"
        return f"~{number} ({bound}) {unit}".rstrip()
    if abs(high + low - 2 * value) <= _SYMMETRIC_WITHIN * (high - low):
        return f"{number} ±{bare((high - low) / 2)} {unit}".rstrip()
    return f"{number} ({bare(low)} to {bare(high)}) {unit}".rstrip()


def _number(name: str, value: float, like: float | None = None) -> str:
    """Return a number with its unit; `like` is the value whose unit and digits are to be used."""
    scale = value if like is None else like
    if name.endswith("_ms"):
        return _duration(value, scale)
    if name.endswith(("_rate", "share", "_bound", "probability", "relative_error")):
        return f"{value * 100:.1f} %"
    if name.endswith(("q_value", "p_value")):
        return "<0.001" if value < 0.001 else f"{value:.3f}"
    if name.startswith("cost_per") or name.endswith("_cost"):
        return f"{value:,.2f}" if scale >= 100 or not scale else f"{value:.4g}"
    if name.startswith("hours_"):
        return f"{value:,.1f} h"
    return f"{value:,.0f}" if float(scale).is_integer() or scale >= 1000 else f"{value:,.2f}"


def _duration(milliseconds: float, scale: float) -> str:
    size, unit = next(((s, u) for s, u in _MS_STEPS if scale >= s), (1, "ms"))
    value = milliseconds / size
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"


def moment(text: str, zone: str = "") -> str:
    """Return a time by the minute, with its time zone where given."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} {zone}".rstrip()
