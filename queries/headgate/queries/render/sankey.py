"""A Sankey diagram as Vega: two columns of nodes, a band for each flow, as wide as what flows.

Vega-Lite has no such mark. The layout is done here: bands leave and arrive in the order of the nodes on the other
side, so that few cross.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.queries.render.channels import word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.queries.charts import Flow

WIDTH, HEIGHT, NODE, LABEL, GAP = 640, 300, 12, 190, 8
LEAST = 14  # pixels a node may count on, so that labels do not overlap


def sankey(
    chart: Flow, records: Sequence[Mapping[str, Any]], palette: Sequence[str]
) -> dict[str, Any] | None:
    """Return the Vega specification of the largest flows, or None when nothing flows."""
    flows = sorted((r for r in records if r[chart.value]), key=lambda r: -r[chart.value])[
        : chart.limit
    ]
    if not flows:
        return None
    links = [
        (
            word(chart.source, r[chart.source]),
            word(chart.target, r[chart.target]),
            float(r[chart.value]),
        )
        for r in flows
    ]
    ends = len({source for source, _, _ in links}), len({target for _, target, _ in links})
    height = max(HEIGHT, (LEAST + GAP) * max(ends))
    scale = (height - GAP * (max(ends) - 1)) / sum(value for _, _, value in links)
    left = _column([(source, value * scale) for source, _, value in links])
    right = _column([(target, value * scale) for _, target, value in links])
    used = {("left", name): top for name, (top, _) in left.items()}
    used |= {("right", name): top for name, (top, _) in right.items()}
    color = {name: palette[i % len(palette)] for i, name in enumerate(left)}
    paths = []
    for source, target, value in sorted(links, key=lambda k: (left[k[0]][0], right[k[1]][0])):
        size = value * scale
        y0, y1 = used["left", source], used["right", target]
        used["left", source] += size
        used["right", target] += size
        paths.append(
            {
                "path": _band(LABEL + NODE, y0, WIDTH - LABEL - NODE, y1, size),
                "fill": color[source],
                "tip": f"{source} → {target}: {value:,.6g}",
            }
        )
    nodes = [
        {"x": x, "y": top, "size": size, "name": name, "align": align, "at": at,
         "fill": color.get(name, "#5b7083"), "middle": top + size / 2}
        for column, x, align, at in (
            (left, LABEL, "right", LABEL - 6),
            (right, WIDTH - LABEL - NODE, "left", WIDTH - LABEL + 6),
        )
        for name, (top, size) in column.items()
    ]  # fmt: skip
    return {
        "$schema": "https://vega.github.io/schema/vega/v6.json",
        "width": WIDTH,
        "height": height,
        "data": [{"name": "links", "values": paths}, {"name": "nodes", "values": nodes}],
        "marks": [
            {"type": "path", "from": {"data": "links"}, "encode": {
                "enter": {"path": {"field": "path"}, "fill": {"field": "fill"}, "tooltip": {"field": "tip"}},
                "update": {"fillOpacity": {"value": 0.35}}, "hover": {"fillOpacity": {"value": 0.7}}}},
            {"type": "rect", "from": {"data": "nodes"}, "encode": {"enter": {
                "x": {"field": "x"}, "width": {"value": NODE}, "y": {"field": "y"},
                "height": {"field": "size"}, "fill": {"field": "fill"}, "tooltip": {"field": "name"}}}},
            {"type": "text", "from": {"data": "nodes"}, "encode": {"enter": {
                "x": {"field": "at"}, "y": {"field": "middle"}, "align": {"field": "align"},
                "baseline": {"value": "middle"}, "text": {"field": "name"}, "limit": {"value": LABEL - 8}}}},
        ],
    }  # fmt: skip


def _column(sizes: Sequence[tuple[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the top and the size of each node, the largest first."""
    sums: dict[str, float] = {}
    for name, size in sizes:
        sums[name] = sums.get(name, 0.0) + size
    placed, top = {}, 0.0
    for name, size in sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])):
        placed[name] = (top, size)
        top += size + GAP
    return placed


def _band(x0: float, y0: float, x1: float, y1: float, size: float) -> str:
    middle = (x0 + x1) / 2
    return (
        f"M{x0:.1f},{y0:.1f}C{middle:.1f},{y0:.1f} {middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f}"
        f"L{x1:.1f},{y1 + size:.1f}"
        f"C{middle:.1f},{y1 + size:.1f} {middle:.1f},{y0 + size:.1f} {x0:.1f},{y0 + size:.1f}Z"
    )
