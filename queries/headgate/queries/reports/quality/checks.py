"""The checks: each measures one thing that makes numbers worth less, says how much of it there is, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from headgate.queries.columns import Columns
from headgate.queries.declaration import Context
from headgate.queries.estimate import Estimate, count, exactly
from headgate.queries.gaps import missing

MANY_OPERATIONS = 200
UNNAMED = "unknown_service"
_ORDER = {"problem": 0, "attention": 1, "unknown": 2, "good": 3}


@dataclass(frozen=True, slots=True)
class Row:
    """One check."""

    check: Annotated[str, "what was looked at"]
    state: Annotated[str, "`good`, `attention`, `problem`, or `unknown` where the data cannot tell"]
    affected: Annotated[Estimate, "how many: calls, unless `finding` says of what"]
    share: Annotated[float | None, "of all of them; null where unknown"]
    finding: Annotated[str, "what was found, in words"]
    advice: Annotated[str, "what to do about it; empty where there is nothing to do"]


def checks(columns: Mapping[str, Columns], context: Context) -> tuple[Row, ...]:
    """Return every check, what is worst first."""
    services, rows = columns["services"], columns["coverage"]
    found = [
        _gaps(columns["arrivals"], context),
        _identity("users", rows, "without_user", "user.id", (0.2, 0.8)),
        _identity("sessions", rows, "without_session", "session.id", (0.2, 0.8)),
        _untyped(rows),
        _unnamed(services),
        _names(services),
        _upstream(services),
        _sampling(rows),
        *_ledger(columns["ledger"]),
        _late(columns["late"]),
    ]
    if "all.clocks" in columns:
        found.append(_clocks(columns["all.clocks"]))
    return tuple(sorted(found, key=lambda row: _ORDER[row.state]))


def _row(
    check: str,
    affected: Estimate,
    whole: float,
    limits: tuple[float, float],
    finding: str,
    advice: str,
) -> Row:
    """Judge a share: good up to the first limit, a problem above the second; unknown without any whole."""
    if not whole:
        return Row(check, "unknown", exactly(0), None, "nothing to look at", "")
    share = affected.value / whole
    state = "good" if share <= limits[0] else "attention" if share <= limits[1] else "problem"
    return Row(check, state, affected, round(share, 4), finding, "" if state == "good" else advice)


def _gaps(arrivals: Columns, context: Context) -> Row:
    edges = context.periods.edges_s[:-1].tolist()
    known = dict(zip(arrivals["period_s"].tolist(), arrivals["calls"].tolist(), strict=True))
    gone = missing(np.array([known.get(start, 0.0) for start in edges]))
    first = int(np.flatnonzero(gone)[0]) if gone.any() else None
    step = context.periods.step
    finding = f"{int(gone.sum())} of {len(edges)} periods of one {step} have nothing at all"
    if first is not None:
        finding += f", the first from {context.periods.label(first)}"
    return _row(
        "gaps",
        exactly(float(gone.sum())),
        len(edges) if known else 0,
        (0.0, 0.05),
        finding,
        "They are missing, not zero. Find out whether the collector or its clients were down then.",
    )


def _identity(
    check: str, rows: Columns, name: str, attribute: str, limits: tuple[float, float]
) -> Row:
    without = count(rows.sum(name), rows.sum(f"{name}_variance"))
    every = rows.sum("calls")
    share = 1 - without.value / every if every else 0.0
    return _row(
        check,
        without,
        every,
        limits,
        f"{share:.1%} of calls say {attribute}",
        f"Set {attribute} where a request comes in (HEADGATE_USER_FROM, HEADGATE_SESSION_FROM):"
        f" calls without it have no part in numbers of {check}.",
    )


def _untyped(rows: Columns) -> Row:
    return _row(
        "error types",
        count(rows.sum("untyped"), rows.sum("untyped_variance")),
        rows.sum("failures"),
        (0.05, 0.5),
        "failures that do not say of which type",
        "Record the exception, or set error.type, before a span with an error status ends.",
    )


def _unnamed(services: Columns) -> Row:
    names = services["service"].tolist()
    nameless = np.array([not n or n.startswith(UNNAMED) for n in names], bool)
    return _row(
        "service names",
        exactly(services.chosen(nameless).sum("calls")),
        services.sum("calls"),
        (0.0, 0.1),
        "calls of services without a name",
        "Set OTEL_SERVICE_NAME: without it different programs are counted as one.",
    )


def _names(services: Columns) -> Row:
    many = services.chosen(services["operations"] > MANY_OPERATIONS)
    named = ", ".join(sorted(str(name) for name in many["service"])) or "none"
    return _row(
        "operation names",
        exactly(many.sum("calls")),
        services.sum("calls"),
        (0.0, 0.5),
        f"services with over {MANY_OPERATIONS} operations: {named}",
        "Name spans by the route (GET /orders/{id}), not by the address: ids in names make"
        " operations that are used once.",
    )


def _upstream(services: Columns) -> Row:
    unseen = services.sum("calls") - services.sum("arrivals")
    return _row(
        "sampling upstream",
        exactly(round(unseen, 2)),
        services.sum("calls"),
        (0.0, 0.95),
        "calls that were sampled out before they came here, and are estimated",
        "Let clients send everything (OTEL_TRACES_SAMPLER=always_on): counts are then exact.",
    )


def _sampling(rows: Columns) -> Row:
    unseen = max(rows.sum("calls") - rows.sum("arrivals"), 0.0)
    return _row(
        "rows kept",
        exactly(round(unseen, 2)),
        rows.sum("calls"),
        (0.0, 0.99),
        "calls without a row of their own: what is counted from rows is estimated",
        "Nothing to do: counts from rollups stay exact. For narrower intervals raise the budget.",
    )


def _ledger(ledger: Columns) -> tuple[Row, Row]:
    received = ledger.sum("received")
    return (
        _row(
            "rejected",
            exactly(ledger.sum("rejected")),
            received,
            (0.0, 0.01),
            "spans and log records that were refused as malformed",
            "See the log of the server for the reason, and the exporter's for what it sent.",
        ),
        _row(
            "sent twice",
            exactly(ledger.sum("duplicate")),
            received,
            (0.01, 0.2),
            "spans and log records that came again and were dropped: none is counted twice",
            "Clients repeat what is not acknowledged in time: raise their timeout, or look for load.",
        ),
    )


def _late(late: Columns) -> Row:
    return _row(
        "late data",
        exactly(late.sum("late")),
        late.sum("arrivals"),
        (0.01, 0.2),
        "uses that arrived over an hour after they happened",
        "Ask again for recent windows: they still grow. Look at clients' queues and clocks.",
    )


def _clocks(clocks: Columns) -> Row:
    worst = sorted(
        zip(clocks["early"].tolist(), clocks["service"].tolist(), strict=True), reverse=True
    )
    named = ", ".join(service for early, service in worst[:3] if early) or "none"
    return _row(
        "clocks",
        exactly(clocks.sum("early")),
        clocks.sum("arrivals"),
        (0.001, 0.05),
        f"calls that began before they were made, of those looked at; services: {named}",
        "Synchronise the clocks of these machines (NTP): their timelines are shifted.",
    )
