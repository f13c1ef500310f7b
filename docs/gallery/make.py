"""Make the pictures of this folder: real reports, on a month made by `benchmarks/month_data.py`, as people see them.

Run it with `make gallery`. Terminal output becomes SVG by rich, charts PNG by vl-convert, paper PNG by Typst; the page
is photographed where Chromium is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from headgate.queries import run
from headgate.queries.render import render
from headgate.queries.render.paper import pages
from headgate.queries.render.picture import as_png
from headgate.queries.render.vega import drawings
from headgate.store import embedded_store, migrate

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))
END = datetime(2026, 11, 16, tzinfo=UTC)
DAYS, PER_DAY = 28, 20_000
TERMINAL = {
    "summary": {},
    "usage": {"since": "7d", "service": "service-1"},
    "errors": {"since": "7d", "service": "service-2", "limit": 5},
    "workflows": {"since": "1d", "service": "service-1"},
}
CHARTS = {
    "context": {"since": "7d"},
    "errors": {"since": "14d"},
    "forecast": {},
    "performance": {"since": "7d"},
    "trend": {"since": "28d", "service": "service-1"},
    "workflows": {"since": "1d", "service": "service-1"},
}
CHARTS_EACH = 2


def terminal(name: str, text: str) -> None:
    """Write what a terminal of 80 columns shows as SVG."""
    console = Console(width=80, record=True, file=tempfile.TemporaryFile("w"))
    console.print(Text.from_ansi(text))
    picture = console.export_svg(title=f"headgate report {name}", clear=True)
    # Fonts are not fetched from anywhere: the viewer's own will do.
    (HERE / f"terminal-{name}.svg").write_text(
        re.sub(r"@font-face \{.*?\}\n", "", picture, flags=re.DOTALL)
    )


def photograph(page: bytes, name: str, *, dark: bool, width: int) -> None:
    """Write what a browser shows as PNG."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "page.html"
        path.write_bytes(page)
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        subprocess.run(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--user-data-dir={place}/profile", "--virtual-time-budget=5000", f"--window-size={width},1500",
             *scheme, f"--screenshot={HERE / name}", path.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def main() -> None:
    """Make the month, ask, write."""
    from month_data import day_sizes, fill

    with tempfile.TemporaryDirectory() as place:
        store = embedded_store(Path(place))
        migrate(store)
        store.client().command("SYSTEM STOP TTL MERGES")
        fill(store, END, day_sizes(END, DAYS, PER_DAY), 1)
        for name, question in TERMINAL.items():
            document = run(name, store, now=END, **question).to_dict()
            terminal(name, render(document, "table", color=True).decode())
        for name, question in CHARTS.items():
            document = run(name, store, now=END, **question).to_dict()
            for number in range(1, min(CHARTS_EACH, len(drawings(document))) + 1):
                (HERE / f"chart-{name}-{number}.png").write_bytes(as_png(document, chart=number))
        document = run("errors", store, now=END, since="14d").to_dict()
        (HERE / "paper-errors.png").write_bytes(pages(document, ppi=72)[0])
        if shutil.which("chromium"):
            page = render(document, "html")
            photograph(page, "page-errors.png", dark=False, width=1200)
            photograph(page, "page-errors-dark.png", dark=True, width=1200)
            document = run("summary", store, now=END, since="7d", service="service-1").to_dict()
            photograph(render(document, "html"), "page-summary.png", dark=False, width=1200)
        store.close()


if __name__ == "__main__":
    main()
