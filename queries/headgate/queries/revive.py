"""An answer from its document: the inverse of `Answer.to_dict`, for answers that came over HTTP or from a file."""

from __future__ import annotations

import types
import typing
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from headgate.queries.answer import Answer
from headgate.queries.catalog import entry
from headgate.queries.declaration import Reduced, described
from headgate.queries.estimate import Estimate, exactly
from headgate.queries.source import Source
from headgate.queries.window import Window


def from_document(document: typing.Mapping[str, Any]) -> Answer:
    """Return the answer that a document was made of, in the report's own types; raises UnknownReport."""
    report = entry(document["report"]).report
    window = Window(
        *(datetime.fromisoformat(document["window"][end]) for end in ("since", "until"))
    )
    summary = document["summary"]
    return Answer(
        document["report"],
        TypeAdapter(report.params).validate_python(document["params"]),
        Source({}, window, summary["source"], notes=tuple(summary["notes"])),
        datetime.fromisoformat(document["generated_at"]),
        Reduced(
            _record(report.summary, summary),
            tuple(_record(report.row, row) for row in document["rows"]),
        ),
        document["data_points"],
        document["computation_time_ms"],
    )


def _record(kind: type[Any], record: typing.Mapping[str, Any]) -> Any:
    uncertain = record.get("uncertainty", {})
    return kind(
        **{
            name: _estimate(record[name], uncertain.get(name))
            if _is_estimate(declared) and record[name] is not None
            else _value(declared, record[name])
            for name, (declared, _) in described(kind).items()
        }
    )


def _value(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    options = typing.get_args(kind)
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        (kind,) = (option for option in options if option is not types.NoneType)
        return _value(kind, value)
    if typing.get_origin(kind) is tuple:
        return tuple(_value(options[0], item) for item in value)
    if kind is datetime:
        return datetime.fromisoformat(value)
    if is_dataclass(kind):
        return _record(typing.cast("type[Any]", kind), value)
    return float(value) if kind is float else value


def _is_estimate(kind: Any) -> bool:
    return kind is Estimate or Estimate in typing.get_args(kind)


def _estimate(value: float, uncertainty: typing.Mapping[str, Any] | None) -> Estimate:
    if uncertainty is None:
        return exactly(value)
    low, high = uncertainty["low"], uncertainty["high"]
    return Estimate(value, uncertainty["standard_error"], low, high, uncertainty.get("reason"))
