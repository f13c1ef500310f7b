"""An answer as one HTML file: works offline, interactive charts, light and dark, prints well.

Everything is inside: style, script (vega-embed and what it needs, bundled by vl-convert) and data.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from headgate.queries.render.clock import local
from headgate.queries.render.picture import svg, with_title
from headgate.queries.render.sections import sections
from headgate.queries.render.vega import drawings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

MOST_ROWS = 30  # of each table in a notebook


def as_page(*documents: Mapping[str, Any], rows: int = 0) -> str:
    """Return the page, with one answer below the other where there are several."""
    answers: list[dict[str, Any]] = []
    specs: list[Any] = []
    for document in documents:
        found = drawings(document)
        charts = [{"title": d.title, "id": n} for n, d in enumerate(found, len(specs))]
        leads = any("of" in value for d in found for value in _values(d.spec))
        answers.append({"parts": sections(document, rows), "charts": charts, "leads": leads})
        specs += [drawing.spec for drawing in found]
    shown = documents[0] if len(documents) == 1 else documents
    return _template("page").render(
        answers=answers,
        data=_in_script({"charts": specs, "document": shown}),
        script=bundle() if specs else "",
    )


def _values(spec: Mapping[str, Any]) -> list[Any]:
    data = spec.get("data")
    return data["values"] if isinstance(data, dict) else []


@functools.cache
def bundle() -> str:
    """Return vega-embed and what it needs as one script."""
    import vl_convert

    from headgate.queries.render.picture import VEGALITE

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGALITE)
    return str(script).replace("</script", "<\\/script")


def as_fragment(document: Mapping[str, Any]) -> str:
    """Return what a notebook shows: the numbers, the first rows of each table, the charts as pictures."""
    shown = local(document)
    return _template("notebook").render(
        parts=sections(shown),
        most=MOST_ROWS,
        pictures=[svg(with_title(d, "")) for d in drawings(shown)],
    )


@functools.cache
def _template(name: str) -> Template:
    from jinja2 import Environment

    text = files("headgate.queries.render").joinpath(f"{name}.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)


def _in_script(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
