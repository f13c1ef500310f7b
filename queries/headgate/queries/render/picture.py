"""Drawings as SVG or PNG, by vl-convert: no browser, no network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headgate.queries.errors import ReportError
from headgate.queries.render.table import heading
from headgate.queries.render.vega import Drawing, drawings

if TYPE_CHECKING:
    from collections.abc import Mapping

VEGALITE = "6.4"
FONT = "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
LIGHT: dict[str, Any] = {
    "background": "white",
    "font": FONT,
    "padding": 8,
    "view": {"stroke": None},
    "tick": {"color": "#111827"},
    "axis": {"labelColor": "#374151", "titleColor": "#111827", "gridColor": "#e5e7eb",
             "domainColor": "#9ca3af", "tickColor": "#9ca3af", "titleFontWeight": 500},
    "legend": {"labelColor": "#374151", "titleColor": "#111827", "titleFontWeight": 500, "labelLimit": 260},
}  # fmt: skip
_SCALE = 2


def as_svg(document: Mapping[str, Any], *, chart: int) -> str:
    """Return one of an answer's charts as SVG; raises ReportError when there is none of that number."""
    return svg(_titled(document, chart)) + "\n"


def as_png(document: Mapping[str, Any], *, chart: int) -> bytes:
    """Return one of an answer's charts as PNG; raises ReportError when there is none of that number."""
    return png(_titled(document, chart))


def svg(drawing: Drawing) -> str:
    """Return a drawing as SVG with its texts as texts."""
    import vl_convert

    if drawing.vega:
        spec = {**drawing.spec, "config": {"background": "white", "text": {"font": FONT}}}
        return str(vl_convert.vega_to_svg(spec, allowed_base_urls=[]))
    spec = {**drawing.spec, "config": LIGHT}
    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE, allowed_base_urls=[]))


def pdf(drawing: Drawing) -> bytes:
    """Return a drawing as a PDF of one page, its fonts inside."""
    import vl_convert

    return bytes(vl_convert.svg_to_pdf(svg(drawing)))


def png(drawing: Drawing) -> bytes:
    """Return a drawing as PNG, twice as dense as a screen's pixels."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(svg(drawing), scale=_SCALE))


def _titled(document: Mapping[str, Any], chart: int) -> Drawing:
    """Return one of an answer's drawings with what it shows and of which window above it."""
    drawing = _only(drawings(document), chart)
    return with_title(drawing, f"{document['report']}: {heading(document)}")


def with_title(drawing: Drawing, below: str) -> Drawing:
    """Return a drawing that bears its title, and a line of small text below it."""
    text = {"text": drawing.title, "subtitle": below, "anchor": "start", "offset": 12,
            "fontSize": 15, "subtitleFontSize": 11, "subtitleColor": "#5b6472", "subtitlePadding": 4}  # fmt: skip
    return replace(drawing, spec={**drawing.spec, "title": text})


def _only(drawings: list[Drawing], wanted: int) -> Drawing:
    """Return the drawing number `wanted`, from 1; raises ReportError with the titles there are."""
    if not drawings:
        raise ReportError(
            "there is no chart of this answer: it has none, or nothing was recorded; try --format table"
        )
    if not 1 <= wanted <= len(drawings):
        titles = "; ".join(f"{i}: {d.title}" for i, d in enumerate(drawings, 1))
        raise ReportError(f"there is no chart {wanted}; there are {titles}")
    return drawings[wanted - 1]
