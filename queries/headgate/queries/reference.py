"""docs/reference/reports.md, written from the declarations: `python -m headgate.queries.reference > FILE`."""

from __future__ import annotations

import sys
import typing
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from typing import Any

from headgate.queries.catalog import Entry, entry, names
from headgate.queries.declaration import described
from headgate.queries.estimate import Estimate
from headgate.queries.render.tables import tables_of

_INTRODUCTION = """\
# Reports

<!-- Written by `python -m headgate.queries.reference`; edit the declarations, not this file. -->

Ask for a report with `headgate report NAME` or `GET /api/reports/NAME`. As JSON every report has this shape:

```json
{
  "report": "usage",
  "params": {"service": null, "operation": null, "where": {}},
  "window": {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"},
  "exact": true,
  "generated_at": "2026-01-01T23:59:30Z",
  "computation_time_ms": 41.7,
  "data_points": 1433,
  "summary": {"source": "usage_minute", "notes": []},
  "rows": [{}]
}
```

- `window` is the window that the numbers are of: half open, in UTC. Of rollups it begins on a whole minute, from a
  day's length on on a quarter of an hour, and on a day of UTC where only days are kept. It never ends after the time
  of asking, and does not reach back behind the first record (of the service, if one was asked for) or what is
  kept: what was before is missing, not zero, and `summary.notes` says so. It is the same for every report.
- `exact` says whether every number was counted. Rollups are counted from all traffic. `where` is answered from
  `events` or from raw rows; where those were sampled, numbers are estimates, and each record's `uncertainty`
  has their `standard_error` and 95 % interval (`low`, `high`), null where it cannot be told, and the `reason`.
- `summary.source` is the table that was read, `summary.notes` what to know about it.
- `data_points` is how many uses the numbers were made of, `computation_time_ms` how long that took.
- Over HTTP `page_rows=100&offset=200` asks for a page of the rows; `page` then has `offset`, `rows` and `total`, and
  the header `Link` the next page. A report's own `limit` holds before that.
- Units are in the names: `_ms` milliseconds, `_hours`, `_rate` and `share` parts of 1, `_at` ISO 8601 in UTC.
- Fields that end in `_series` are numbers by period, in order, null where a period is missing.
- CSV and Parquet hold one table, with the same names (lists joined with `; ` in CSV): `rows`, unless `--table NAME`
  (over HTTP `table=NAME`) asks for another: `summary` for its single numbers, or one of its lists. Each report's tables
  are named below; several windows are told apart by `window_since` and `window_until`. HTML, PDF, Markdown, Excel and
  JSON hold all of them.
"""
_KINDS = {str: "text", int: "integer", float: "number", Estimate: "number", datetime: "time"}


def reference() -> str:
    """Return the whole page."""
    return "\n".join([_INTRODUCTION, *(_section(entry(name)) for name in names())])


def _section(report: Entry) -> str:
    declared = report.report
    parts = [
        f"## {report.name}\n",
        f"{declared.question}\n",
        f"Tables: {', '.join(f'`{name}`' for name in tables_of(report.name))}.\n",
        "Parameters:\n",
        _fields(declared.params, defaults=True),
        "Each of `rows`:\n",
        _fields(declared.row),
        "`summary`:\n",
        _fields(declared.summary),
    ]
    for name, (kind, _) in described(declared.summary).items():
        for item in typing.get_args(kind):
            if is_dataclass(item) and item is not Estimate:
                parts += [f"Each of `summary.{name}`:\n", _fields(item)]  # type: ignore[arg-type]
    return "\n".join(parts)


def _fields(record: type[Any], *, defaults: bool = False) -> str:
    lines = ["| field | type | meaning |", "|---|---|---|"]
    by_name = {field.name: field for field in fields(record)}
    for name, (kind, meaning) in described(record).items():
        default = by_name[name].default
        known = defaults and default is not MISSING and default is not None
        lines.append(
            f"| `{name}` | {_kind(kind)} | {meaning}{f' (default {default})' if known else ''} |"
        )
    return "\n".join(lines) + "\n"


def _kind(kind: Any) -> str:
    if kind in _KINDS:
        return _KINDS[kind]
    arguments = [a for a in typing.get_args(kind) if a is not Ellipsis]
    if type(None) in arguments:
        return " or ".join([_kind(a) for a in arguments if a is not type(None)] + ["null"])
    if typing.get_origin(kind) is tuple:
        (item,) = [a for a in typing.get_args(arguments[0]) or arguments[:1] if a is not type(None)]
        return f"list of {_kind(item)}" if item in _KINDS else "list of records"
    return "object of text"


if __name__ == "__main__":
    sys.stdout.write(reference())
