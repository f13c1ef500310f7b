"""An answer: what a report returned, from where, for which window; and its stable form as a document.

The document is the JSON of the command line and the HTTP interface, and what tables and CSV are made of:
{"report", "params", "window": {"since", "until"}, "exact", "generated_at", "computation_time_ms", "data_points",
"summary": {...}, "rows": [{...}]}.
`summary` begins with `source` (the table that was read) and `notes`. Where a record holds estimates it ends with
`uncertainty`: for each number that is not exact its `standard_error`, `low` and `high` (95 %), null where unknown, and
`reason`: why a bound is missing where one could be expected, else null.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headgate.queries.declaration import Reduced, ordered
from headgate.queries.estimate import Estimate
from headgate.queries.window import iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headgate.queries.columns import Columns
    from headgate.queries.declaration import Params
    from headgate.queries.source import Source
    from headgate.queries.window import Window


@dataclass(frozen=True, slots=True)
class Answer:
    """What `run` returns; `summary` and `rows` are the report's own dataclasses.

    `data_points` is how many uses its numbers were made of, `computation_time_ms` how long that took, None where
    nobody took the time (REQ-TRD-12).
    """

    report: str
    params: Params
    source: Source
    generated_at: datetime
    reduced: Reduced
    data_points: int = 0
    computation_time_ms: float | None = None

    @property
    def summary(self) -> Any:
        """The report's summary."""
        return self.reduced.summary

    @property
    def rows(self) -> tuple[Any, ...]:
        """The report's rows."""
        return self.reduced.rows

    @property
    def window(self) -> Window:
        """The window that the numbers are of; it may be a little wider than what was asked for."""
        return self.source.window

    @property
    def exact(self) -> bool:
        """Whether no number had to be estimated."""
        return all(estimate.exact for part in (self.summary, *self.rows) for estimate in _all(part))

    def to_dict(self) -> dict[str, Any]:
        """Return the document; only what JSON has, times as ISO 8601 in UTC."""
        notes = {"source": self.source.name, "notes": list(self.source.notes)}
        return {
            "report": self.report,
            "params": _plain(self.params),
            "window": {"since": iso(self.window.since), "until": iso(self.window.until)},
            "exact": self.exact,
            "generated_at": iso(self.generated_at),
            "computation_time_ms": self.computation_time_ms,
            "data_points": self.data_points,
            "summary": notes | _plain(self.summary),
            "rows": [_plain(row) for row in self.rows],
        }

    def to_pandas(self, table: str = "rows") -> Any:
        """Return `rows`, or a list of the summary by its name, as a pandas DataFrame; needs pandas.

        Estimates are their values; times are UTC.
        """
        import pandas as pd

        document = self.to_dict()
        records = document["rows"] if table == "rows" else document["summary"][table]
        frame = pd.DataFrame.from_records(records).drop(columns="uncertainty", errors="ignore")
        for name in frame.columns:
            if str(name).endswith("_at"):
                frame[name] = pd.to_datetime(frame[name], utc=True)
        return frame

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from headgate.queries.render.page import as_fragment

        return as_fragment(self.to_dict())


def data_points(columns: Mapping[str, Columns]) -> int:
    """Return how many uses were counted, by the statement that counts the most."""
    counted = (part for part in columns.values() if part.rows and {"arrivals", "calls"} <= {*part})
    return int(max((part.sum("arrivals") for part in counted), default=0))


def without_lists(reduced: Reduced) -> Reduced:
    """Return an answer with its single numbers only."""
    lists = {
        field.name: ()
        for field in fields(reduced.summary)
        if isinstance(getattr(reduced.summary, field.name), tuple)
    }
    return Reduced(replace(reduced.summary, **lists), ())


def _all(value: Any) -> Iterator[Estimate]:
    if isinstance(value, Estimate):
        yield value
    elif is_dataclass(value):
        for entry in fields(value):
            yield from _all(getattr(value, entry.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _all(item)


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return _number(value.value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        found = {name: getattr(value, name) for name in ordered(type(value))}
        record = {name: _plain(item) for name, item in found.items()}
        estimates = {n: item for n, item in found.items() if isinstance(item, Estimate)}
        if estimates:
            record["uncertainty"] = {
                name: {
                    "standard_error": item.standard_error,
                    "low": item.low,
                    "high": item.high,
                    "reason": item.reason,
                }
                for name, item in estimates.items()
                if not item.exact
            }
        return record
    return dict(value) if hasattr(value, "keys") else value


def _number(value: float) -> float | int:
    """Return whole numbers as integers: a count is 3, not 3.0."""
    return int(value) if float(value).is_integer() else float(value)
