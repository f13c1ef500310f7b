"""An answer as one HTML file: works offline, interactive charts, light and dark, prints well.

Everything is inside: style, script (vega-embed and what it needs, bundled by vl-convert) and data.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from headgate.queries.render.sections import sections
from headgate.queries.render.vega import drawings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template


def as_page(document: Mapping[str, Any]) -> str:
    """Return the page."""
    found = drawings(document)
    return _template().render(
        parts=sections(document),
        charts=[{"title": d.title, "spec": d.spec, "vega": d.vega} for d in found],
        data=_in_script({"charts": [d.spec for d in found], "document": document}),
        script=bundle() if found else "",
    )


@functools.cache
def bundle() -> str:
    """Return vega-embed and what it needs as one script."""
    import vl_convert

    from headgate.queries.render.picture import VEGALITE

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGALITE)
    return str(script).replace("</script", "<\\/script")


@functools.cache
def _template() -> Template:
    from jinja2 import Environment

    text = files("headgate.queries.render").joinpath("page.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)


def _in_script(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
