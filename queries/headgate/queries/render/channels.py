"""What charts of every kind share: axes with units and formats, tooltips, colours that mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.queries.render.readable import named
from headgate.queries.render.wording import title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Spec = dict[str, Any]
PALETTE = ("#2f6fde", "#d9822b", "#12805c", "#8a4fd0", "#c23b6b", "#5b7083", "#b59a00", "#0f8b9d")
GOOD, BAD, SLOW = "#12805c", "#cc3340", "#d9822b"
_MEANING = (
    (("success", "ok", "promoter"), GOOD),
    (("timeout", "critical", "warning"), SLOW),
    (("fail", "error", "alert", "detractor", "churn"), BAD),
)
_BANDS = {
    "good": GOOD, "excellent": GOOD, "attention": SLOW, "bad": BAD, "poor": BAD, "low": BAD, "critical": BAD,
}  # fmt: skip
_NEUTRAL = "#8a94a3"
_VERDICTS = {
    "healthy": GOOD, "slow": SLOW,
    "better": GOOD, "worse": BAD, "no clear difference": _NEUTRAL, "not tested": "#c4cad3",
}  # fmt: skip
_COUNTS = ("calls", "count", "users", "sessions", "users_affected")


def quantity(field: str, **more: Any) -> Spec:
    """Return the channel of a quantitative field, with its unit and format."""
    shown = f"{title(field)} (ms)" if field.endswith("_ms") else title(field)
    axis: Spec = {"labelOverlap": True, "tickCount": 8}
    if is_share(field):
        axis["format"] = "%"
    elif field.endswith(_COUNTS):
        axis["tickMinStep"] = 1
    return {"field": field, "type": "quantitative", "title": shown, "axis": axis, **more}


def format_of(field: str) -> str:
    """Return how a tooltip writes a field."""
    return ".1%" if is_share(field) else ",.4~g"


def is_share(field: str) -> bool:
    """Return whether a field holds parts of one."""
    return field.endswith(("_rate", "share", "probability", "relative_error"))


def tooltips(*fields: str) -> list[Spec]:
    """Return tooltips of fields."""
    return [{"field": field, "title": title(field)} for field in fields]


def tooltip_number(field: str) -> Spec:
    """Return the tooltip of a number."""
    return {"field": field, "title": title(field), "format": format_of(field)}


def meaning(text: str) -> str | None:
    """Return the colour that a field's or outcome's name asks for, if any."""
    lowered = text.lower()
    return next((c for words, c in _MEANING if any(w in lowered for w in words)), None)


def colors(names: Sequence[str]) -> Spec:
    """Return a scale of colours: by a name's meaning where no other name has it, else the next free one."""
    chosen: list[str] = []
    for known in names:
        wanted = _VERDICTS.get(known) or meaning(known)
        if wanted is None or wanted in chosen:
            free = [color for color in PALETTE if color not in chosen]
            wanted = free[0] if free else PALETTE[len(chosen) % len(PALETTE)]
        chosen.append(wanted)
    return {"domain": list(names), "range": chosen}


def room(values: Iterable[float | None], *, log: bool = False) -> Spec:
    """Return a scale, logarithmic or not, with room around the outermost points, which zooming would cut in half."""
    known = [value for value in values if value is not None]
    least, most = min(known, default=0), max(known, default=0)
    if log and least > 0:
        return {"type": "log", "domainMin": least / 1.5, "domainMax": 1.5 * most}
    scale: Spec = {"domainMax": 1.05 * most} if most > 0 else {}
    return {**scale, "type": "symlog"} if log else scale


def unit_of(fields: Sequence[str]) -> str:
    """Return what an axis of several fields counts in."""
    if all(field.endswith("_ms") for field in fields):
        return "ms"
    return "share" if all(field.endswith(("_rate", "share")) for field in fields) else "number"


def labels(records: Sequence[Mapping[str, Any]], category: str) -> Callable[[Any], str]:
    """Return how to name a record: an operation with its service where there are several services."""
    several = category == "operation" and len({r.get("service") for r in records}) > 1

    def label(record: Mapping[str, Any]) -> str:
        text = word(category, record[category])
        return f"{word('service', record['service'])} {text}" if several else text

    return label


def word(field: str, value: Any) -> str:
    """Return a value that names something as text: one text a value, so that colours and places find it."""
    if field == "metric":
        return title(value)
    return named(str(value).capitalize() if field.endswith("weekday") else str(value))


def band_colors(words: Sequence[str]) -> list[str]:
    """Return a colour for each band of a scale: by its word where that says something."""
    plain = iter(PALETTE)
    return [_BANDS.get(word) or meaning(word) or next(plain) for word in words]
