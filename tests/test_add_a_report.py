"""docs/how-to/add-a-report.md, followed to the letter: the files it shows are a working report."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to" / "add-a-report.md"
ASK = """
from datetime import UTC, datetime, timedelta
from pathlib import Path
import headgate.queries.reports
from headgate.queries import names, run
from headgate.queries.reference import reference
from headgate.queries.render import render
from headgate.queries.revive import from_document
from headgate.store import embedded_store, migrate

now = datetime(2026, 11, 20, tzinfo=UTC)
store = embedded_store(Path({engine!r}), "added")
migrate(store)
rows = [[now - timedelta(hours=hour), "shop", "buy", "Server"] for hour in range(1, 25) if hour % 3]
names_ = ["Timestamp", "ServiceName", "SpanName", "SpanKind"]
store.client().insert("otel_traces", rows, column_names=names_)
answer = run("mornings", store, now=now, timezone="Asia/Tokyo", where={{"": ""}})
local = [(at + timedelta(hours=9)).hour for at, *_ in rows]
assert answer.summary.calls.value == len(rows)
assert answer.rows[0].morning_rate.value == sum(hour < 12 for hour in local) / len(rows)
assert from_document(answer.to_dict()).rows == answer.rows
assert "mornings" in names()
assert "## mornings" in reference()
for format_ in ("table", "json", "csv", "html", "svg"):
    assert render(answer.to_dict(), format_)
store.close()
"""


def test_the_page_adds_a_report(tmp_path: Path) -> None:
    """The page's files in a copy of the package: asked in a process of its own, listed, documented, rendered."""
    package = tmp_path / "headgate" / "queries"
    subprocess.run(["cp", "-r", ROOT / "queries" / "headgate", tmp_path], check=True)
    text = PAGE.read_text(encoding="utf-8")
    folder = package / "reports" / "mornings"
    folder.mkdir()
    (sql,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    declaration, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (folder / "halves.sql").write_text(sql, encoding="utf-8")
    (folder / "__init__.py").write_text(declaration, encoding="utf-8")
    assert "reports/mornings/" in text
    assert "halves.sql" in text
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(engine=str(tmp_path / "engine"))],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT / 'collector'}", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    linted = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout
    formatted = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "format",
            "--check",
            "--config",
            ROOT / "pyproject.toml",
            folder,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stdout
