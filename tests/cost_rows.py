"""A cost model for tests, and a month of uses and model requests as the report's statements return them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from report_rows import columns

from headgate.queries.window import Window

MODEL = """
currency: EUR
rules:
  - {source: gateway, model: per_request, operation: "pay*", per_request: 0.02, bill: success}
  - {source: hosting, model: hybrid, service: shop, subscription: 31, included_requests: 40, per_request: 0.5,
     per_gigabyte: 2, included_gigabytes: 3}
  - source: models
    model: tokens
    tokens:
      large-*: {input: 3, output: 15, cached: 0.3}
      "*": {input: 1, output: 2}
"""
MONTH = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def day_s(day: int) -> int:
    return int(MONTH.since.timestamp()) + 86400 * day


def given_columns(drawn: list[Any], asked: list[Any] | None = None) -> dict[str, Any]:
    both = {"variance": 0.0}
    outcomes = [
        {
            "service": s,
            "operation": o,
            "outcome": e,
            "period_s": day_s(d),
            "calls": float(n),
            "arrivals": n,
        }
        | both
        for s, o, e, d, n, _ in drawn
    ]
    transfers = [
        {
            "service": s,
            "operation": o,
            "outcome": e,
            "period_s": day_s(d),
            "bytes": size,
            "arrivals": n,
        }
        | both
        for s, o, e, d, n, size in drawn
        if size
    ]
    tokens = [
        {
            "service": "bot",
            "model": model,
            "outcome": "ok",
            "period_s": day_s(d),
            "arrivals": 1,
            "calls": 1.0,
            "input": float(i),
            "output": float(o),
            "cached": float(c),
            "stored": 0.0,
            "input_variance": 0.0,
            "output_variance": 0.0,
        }
        | both
        for model, d, i, o, c in asked or []
    ]
    return {
        "outcomes": columns(outcomes),
        "transfers": columns(transfers),
        "tokens": columns(tokens),
    }
