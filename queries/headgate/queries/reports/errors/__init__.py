"""Errors: how often calls fail, what the failures are, whom they meet (REQ-SUC-01 to -03, REQ-ERR-01 to -06).

Every rate has the number of calls as its denominator (PIT-R0-01); failures that differ only in ids, numbers or
paths are one group (PIT-R0-02); an association is measured and tested, not only counted (PIT-R0-03).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from headgate.queries.charts import Bars, Gauge, HeatMap, Scatter, Share, Timeline
from headgate.queries.columns import Columns
from headgate.queries.coverage import ARRIVALS, BORROWED, anyone
from headgate.queries.declaration import Ask, Context, Reduced, Report
from headgate.queries.outcomes import success
from headgate.queries.params import extended
from headgate.queries.reports.errors.advice import advise
from headgate.queries.reports.errors.differences import associations, differences, marks, speeds
from headgate.queries.reports.errors.groups import codes, groups, types
from headgate.queries.reports.errors.ranking import covered, days, overall, reliability
from headgate.queries.reports.errors.records import ErrorParams, Row, Summary
from headgate.queries.uncertain import people_of
from headgate.queries.window import Window

MOST_KINDS = 500


def reduce(columns: Mapping[str, Columns], context: Context) -> Reduced:
    """Rank operations, follow the days, merge failures by fingerprint, say what differs; rows by count, most first."""
    params = context.params
    outcomes, failures, affected = (columns[q] for q in ("outcomes", "failures", "affected"))
    coded = columns["attributes"]["coded"] == 1
    told = columns["attributes"].chosen(~coded)
    found = groups(
        failures,
        affected,
        columns["before.seen"],
        marks(told, params.significance),
        context,
        covered(columns, context).missing,
    )
    whole = success(outcomes)
    ranking = reliability(outcomes)
    differing = differences(told, params.significance, columns["kept.resources"])
    associated = associations(columns["sizes"], params.significance)
    by_speed, speed_effect, speed_p = speeds(columns["speeds"])
    met = np.unique(affected["user_hash"]).size
    summary = Summary(
        **whole,
        verdict=overall(whole["error_rate"], ranking),
        users_affected=people_of(met, failures, "failures", context.people),
        groups=len(found),
        new_groups=sum(row.state == "new" for row in found),
        speed_association=speed_effect,
        speed_p_value=speed_p,
        recommendations=advise(
            whole["error_rate"],
            failures.sum("timeouts"),
            found,
            ranking,
            differing,
            associated,
        ),
        reliability=ranking,
        days=days(columns, context),
        types=types(failures),
        codes=codes(columns["attributes"].chosen(coded)),
        differences=differing,
        associations=associated,
        speeds=by_speed,
    )
    return Reduced(summary, tuple(found[: params.limit]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _EarlierParams(ErrorParams):
    """The kinds of failures whose past is looked for, all where there are none."""

    fingerprints: list[int]


def _asks(params: ErrorParams, window: Window) -> Mapping[str, Ask]:
    def known(columns: Mapping[str, Columns]) -> _EarlierParams:
        kinds = np.unique(columns["failures"]["fingerprint"]).tolist()
        # They only spare reading, and a server takes no longer parameters. 0 is no failure's: nothing is looked for.
        sought = (kinds or [0]) if len(kinds) <= MOST_KINDS else []
        return extended(_EarlierParams, params, fingerprints=sought)

    length = max(window.until - window.since, timedelta(days=params.lookback_days))
    earlier = Window(window.since - length, window.since)
    before = Ask(earlier, params, ("seen",), given=known)
    resources = Ask(window, params, ("resources",), quiet=True)
    return {"before": before, "kept": resources, **anyone(params, window)}


REPORT = Report(
    question="How often do calls fail, with which errors, what sets them apart, and whom do they meet?",
    params=ErrorParams,
    summary=Summary,
    row=Row,
    tables={
        "recommendations": ("rule", "advice"),
        "rows": (
            "error_type",
            "message",
            "state",
            "count",
            "daily_series",
            "users_affected",
            "last_seen_at",
            "operations",
        ),
        "differences": (
            "key",
            "value",
            "failure_share",
            "success_share",
            "odds_ratio",
            "q_value",
        ),
        "associations": ("measure", "effect", "calls", "q_value"),
        "reliability": (
            "rank",
            "service",
            "operation",
            "calls",
            "failure_count",
            "success_rate",
            "proved_rate",
        ),
        "days": ("date", "whole", "calls", "failure_count", "timeout_count", "error_rate"),
        "types": ("error_type", "service", "count", "share", "groups"),
        "codes": ("code", "count", "share"),
        "speeds": ("speed", "calls", "failure_count", "error_rate"),
    },
    reduce=reduce,
    asks=_asks,
    borrows=(BORROWED,),
    on_request=(ARRIVALS, "resources", "seen"),
    charts=(
        Gauge(
            title="Error rate",
            value="error_rate",
            low=0.0,
            high=0.5,
            bands=((0.05, "good"), (0.2, "attention"), (0.5, "alert")),
        ),
        Timeline(
            title="Failed calls by day",
            table="days",
            x="date",
            y=("failure_count", "timeout_count"),
        ),
        Timeline(title="Error rate by day", table="days", x="date", y=("error_rate",)),
        Bars(title="Most frequent errors", category="error_type", value="count", color="state"),
        Share(title="Failures by code", table="codes", category="code", value="count"),
        HeatMap(
            title="Failures by type and service",
            table="types",
            x="service",
            y="error_type",
            value="count",
        ),
        Scatter(
            title="Use and proved reliability of operations",
            table="reliability",
            x="calls",
            y="proved_rate",
            label="operation",
            color="verdict",
        ),
        Bars(
            title="What failures have more often",
            table="differences",
            category="value",
            value="odds_ratio",
            color="key",
            log=True,
        ),
    ),
)
