"""Drawings as SVG or PNG, by vl-convert: no browser, no network."""

from __future__ import annotations

import functools
import itertools
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headgate.queries.errors import ReportError
from headgate.queries.render.table import heading
from headgate.queries.render.vega import Drawing, drawings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
_SIZE = re.compile(r'\b(?:width|height)="([0-9.]+)')
_INSIDE = re.compile(r'\bid="|url\(#|href="#')


def as_svg(*documents: Mapping[str, Any], chart: int) -> str:
    """Return one of an answer's charts as SVG, of several answers one below the other.

    Raises ReportError when there is none of that number.
    """
    return _below([svg(_titled(document, chart)) for document in documents]) + "\n"


def as_png(*documents: Mapping[str, Any], chart: int, fonts: Path | None = None) -> bytes:
    """Return the same as PNG; `fonts` is a directory of fonts to use beside those of the system."""
    _know(fonts)
    return _drawn(as_svg(*documents, chart=chart))


def _below(pictures: Sequence[str]) -> str:
    """Return pictures as one, each below the one before."""
    if len(pictures) == 1:
        return pictures[0]
    sizes = [[math.ceil(float(n)) for n in _SIZE.findall(picture)[:2]] for picture in pictures]
    width = max(size[0] for size in sizes)
    tops = list(itertools.accumulate((size[1] for size in sizes), initial=0))
    placed = (
        # What pictures refer to inside of themselves is called alike in all of them.
        _INSIDE.sub(rf"\g<0>part{number}-", picture.replace("<svg", f'<svg y="{top}"', 1))
        for number, (picture, top) in enumerate(zip(pictures, tops, strict=False))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{tops[-1]}"'
        f' viewBox="0 0 {width} {tops[-1]}"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(placed)}</svg>"
    )


def svg(drawing: Drawing) -> str:
    """Return a drawing as SVG with its texts as texts."""
    import vl_convert

    if drawing.vega:
        spec = {**drawing.spec, "config": {"background": "white", "text": {"font": FONT}}}
        return str(vl_convert.vega_to_svg(spec, allowed_base_urls=[]))
    spec = {**drawing.spec, "config": LIGHT}
    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE, allowed_base_urls=[]))


def pdf(drawing: Drawing, fonts: Path | None = None) -> bytes:
    """Return a drawing as a PDF of one page, its fonts inside."""
    import vl_convert

    _know(fonts)

    return bytes(vl_convert.svg_to_pdf(svg(drawing)))


def png(drawing: Drawing) -> bytes:
    """Return a drawing as PNG, twice as dense as a screen's pixels."""
    return _drawn(svg(drawing))


@functools.cache  # each time more the library would look through the directory once more for every picture
def _know(fonts: Path | None) -> None:
    """Make the fonts of a directory known to the library that draws, for as long as this process lives."""
    import vl_convert

    if fonts:
        vl_convert.register_font_directory(str(fonts))


def _drawn(picture: str) -> bytes:
    import vl_convert

    return bytes(vl_convert.svg_to_png(picture, scale=_SCALE))


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
