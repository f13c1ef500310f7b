"""An answer as PDF: the same content set by Typst, with page numbers, headings, and vector charts."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.queries.render.picture import pdf
from headgate.queries.render.sections import sections
from headgate.queries.render.vega import Drawing, drawings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMN = 340  # pixels of a chart without its axes, half a page


def as_paper(*documents: Mapping[str, Any], rows: int = 0, fonts: Path | None = None) -> bytes:
    """Return the PDF, with one answer after the other where there are several, each from a new page on.

    `fonts` is a directory of fonts to use beside those of the system.
    """
    made = _set(documents, rows, fonts, format="pdf")
    if not isinstance(made, bytes):
        raise TypeError("a PDF is one file")
    return made


def pages(document: Mapping[str, Any], *, ppi: float) -> list[bytes]:
    """Return the pages as PNG, of so many pixels an inch."""
    made = _set([document], 0, None, format="png", ppi=ppi)
    return made if isinstance(made, list) else [made]


def _set(
    documents: Sequence[Mapping[str, Any]], rows: int, fonts: Path | None, **options: Any
) -> bytes | list[bytes]:
    import typst

    content = []
    files_of: dict[str, Drawing] = {}
    for document in documents:
        charts = []
        for drawing in map(_narrow, drawings(document)):
            file = f"chart{len(files_of)}.pdf"
            files_of[file] = drawing
            charts.append({"title": drawing.title, "file": file, "wide": drawing.vega})
        content.append(dataclasses.asdict(sections(document, rows)) | {"charts": charts})
    text = files("headgate.queries.render").joinpath("paper.typ").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="headgate-pdf-") as place:
        root = Path(place)
        (root / "paper.typ").write_text(text, encoding="utf-8")
        (root / "content.json").write_text(json.dumps(content), encoding="utf-8")
        for file, drawing in files_of.items():
            (root / file).write_bytes(pdf(drawing, fonts))
        made: bytes | list[bytes] = typst.compile(
            root / "paper.typ", root=root, font_paths=[fonts] if fonts else [], **options
        )
    return made


def _narrow(drawing: Drawing) -> Drawing:
    """Return a drawing as wide as a column, where its text is as large as the paper's; Vega's own layout stays."""
    if drawing.vega:
        return drawing
    return dataclasses.replace(drawing, spec={**drawing.spec, "width": COLUMN})
