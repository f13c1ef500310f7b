"""Usage as a statement returns it, made from matrices of counts: for tests of reports on series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from report_rows import reduced

from headgate.queries.columns import Columns

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from headgate.queries.window import Window

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def activity(
    calls: ArrayLike,
    since: datetime,
    *,
    step_s: int = 3600,
    failures: ArrayLike | None = None,
    mean_ms: ArrayLike | None = None,
) -> Columns:
    """Return rows of `calls` [operations, periods]; periods without calls have no row."""
    counts = np.atleast_2d(np.asarray(calls, float))
    failed = np.zeros(counts.shape) if failures is None else np.broadcast_to(failures, counts.shape)
    mean = (
        np.full(counts.shape, 20.0) if mean_ms is None else np.broadcast_to(mean_ms, counts.shape)
    )
    series, period = np.nonzero(counts)
    n = counts[series, period]
    names = np.array([f"o{number}" for number in range(len(counts))], object)
    return Columns(
        {
            "service": np.full(n.size, "s", object),
            "operation": names[series],
            "period_s": int(since.timestamp()) + step_s * period,
            "arrivals": n.astype(int),
            "calls": n,
            "variance": np.zeros(n.size),
            "failures": failed[series, period].astype(float),
            "timed": n,
            "duration": n * mean[series, period] * 1e6,
        }
    )


def answered(
    report: str,
    rows: Columns,
    learnt_since: datetime,
    window: Window,
    anyone: Columns | None = None,
    **params: Any,
) -> dict[str, Any]:
    """Return a report's document for a window, with everything since `learnt_since` to learn from.

    `anyone` is what anybody did meanwhile, for questions that are narrowed.
    """
    inside = rows["period_s"] >= int(window.since.timestamp()) if rows.rows else slice(None)
    days = (window.since - learnt_since) / timedelta(days=1)
    given = {"activity": rows.chosen(inside), "learnt.activity": rows}
    if anyone is not None:
        given["learnt_anyone.arrivals"] = anyone
    return reduced(report, given, window, now=window.until, learn_days=days, **params)


def week_shape(hours: int, first: int = 0) -> np.ndarray:
    """Return a working week's relative traffic by hour, beginning `first` hours into it."""
    hour = np.arange(hours) + first
    day = 0.2 + np.exp(-(((hour % 24 - 14) / 5.0) ** 2))
    return np.asarray(day * np.where(hour // 24 % 7 >= 5, 0.5, 1.0))
