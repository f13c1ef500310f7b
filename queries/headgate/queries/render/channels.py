"""What charts of every kind share: axes with units and formats, tooltips, colours that mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.queries.render.table import title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Spec = dict[str, Any]
PALETTE = ("#2f6fde", "#d9822b", "#12805c", "#8a4fd0", "#c23b6b", "#5b7083", "#b59a00", "#0f8b9d")
GOOD, BAD, SLOW = "#12805c", "#cc3340", "#d9822b"
_MEANING = (
    (("success", "ok", "promoter"), GOOD),
    (("timeout", "critical", "warning"), SLOW),
    (("fail", "error", "alert", "detractor", "churn"), BAD),
)
_BANDS = {
    "good": GOOD, "excellent": GOOD, "attention": SLOW, "bad": BAD, "poor": BAD, "critical": BAD,
}  # fmt: skip
_COUNTS = ("calls", "count", "users", "sessions", "users_affected")


def quantity(field: str, **more: Any) -> Spec:
    """Return the channel of a quantitative field, with its unit and format."""
    name = f"{title(field)} (ms)" if field.endswith("_ms") else title(field)
    axis: Spec = {}
    if field.endswith(("_rate", "share", "probability", "relative_error")):
        axis["format"] = "%"
    elif field.endswith(_COUNTS):
        axis["tickMinStep"] = 1
    return {"field": field, "type": "quantitative", "title": name, "axis": axis, **more}


def room(values: Iterable[float | None], *, log: bool = False) -> Spec:
    """Return a scale, logarithmic or not, with room around the outermost points, which zooming would cut in half."""
    known = [value for value in values if value is not None]
    least, most = min(known, default=0), max(known, default=0)
    if log and least > 0:
        return {"type": "log", "domainMin": least / 1.5, "domainMax": 1.5 * most}
    scale: Spec = {"domainMax": 1.05 * most} if most > 0 else {}
    return {**scale, "type": "symlog"} if log else scale


def format_of(field: str) -> str:
    """Return how a tooltip writes a field."""
    return ".1%" if field.endswith(("_rate", "share", "probability", "relative_error")) else ",.4~g"


def tooltips(*fields: str) -> list[Spec]:
    """Return tooltips of fields."""
    return [{"field": field, "title": title(field)} for field in fields]


def tooltip_number(field: str) -> Spec:
    """Return the tooltip of a number."""
    return {"field": field, "title": title(field), "format": format_of(field)}


def meaning(name: str) -> str | None:
    """Return the colour that a field's or outcome's name asks for, if any."""
    lowered = name.lower()
    return next((c for words, c in _MEANING if any(w in lowered for w in words)), None)


def colors(names: Sequence[str]) -> Spec:
    """Return a scale of colours: by a name's meaning where no other name has it, else the next free one."""
    chosen: list[str] = []
    for name in names:
        wanted = meaning(name)
        if wanted is None or wanted in chosen:
            free = [color for color in PALETTE if color not in chosen]
            wanted = free[0] if free else PALETTE[len(chosen) % len(PALETTE)]
        chosen.append(wanted)
    return {"domain": list(names), "range": chosen}


def local_time(value: str) -> str:
    """Return a time as the clock of its place shows it: charts have one axis and no offset."""
    return value[:19] if "T" in value else value


def labels(records: Sequence[Mapping[str, Any]], category: str) -> Any:
    """Return how to name a record: an operation with its service where there are several services."""
    several = category == "operation" and len({r.get("service") for r in records}) > 1
    return lambda record: (
        f"{record['service']} {record[category]}" if several else str(record[category])
    )


def band_colors(words: Sequence[str]) -> list[str]:
    """Return a colour for each band of a scale: by its word where that says something."""
    plain = iter(PALETTE)
    return [_BANDS.get(word) or meaning(word) or next(plain) for word in words]
