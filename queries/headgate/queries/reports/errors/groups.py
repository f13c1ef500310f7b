"""Failures by fingerprint, type and code: what each is, since when, whom it met (REQ-ERR-01, -02, -05, -06)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Context
from headgate.queries.estimate import count
from headgate.queries.reports.errors.ranking import numbered
from headgate.queries.reports.errors.records import Code, Kind, Row, State
from headgate.queries.uncertain import counted, people_of, variance_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def groups(
    failures: Columns,
    affected: Columns,
    earlier: Columns,
    marks: Mapping[int, tuple[str, ...]],
    context: Context,
    gaps: NDArray[np.bool_],
) -> list[Row]:
    """Return one row a fingerprint, the most frequent first.

    `marks` are what distinguishes each, `gaps` the days of which nothing was recorded.
    """
    users = {
        label: np.unique(part["user_hash"]).size for label, part in parts(affected, "fingerprint")
    }
    before = {
        label: (int(part["first_ns"].min()), int(part["last_ns"].max()))
        for label, part in parts(earlier, "fingerprint")
    }
    failures = numbered(failures, context)
    every = failures.sum("failures")
    rows = []
    for label, part in parts(failures, "fingerprint"):
        n = part.sum("failures")
        texts = (part["last_ns"], part["error_type"], part["message"])
        # Equal instants are told apart by the text, so that the order of rows does not matter.
        latest = max(zip(*(column.tolist() for column in texts), strict=True))
        first_ns = int(part["first_ns"].min())
        rows.append(
            Row(
                fingerprint=f"{int(label[0]):016x}",
                error_type=latest[1],
                message=latest[2],
                state=_state(before.get(label), context),
                count=counted(part, "failures"),
                share=round(n / every, 4),
                timeout_count=count(
                    part.sum("timeouts"), variance_of(part, "timeout_variance", "timeout_noise")
                ),
                users_affected=people_of(users.get(label, 0), part, "failures", context.people),
                daily_series=tuple(
                    None if gap else n
                    for n, gap in zip(
                        np.bincount(
                            part["period"], part["failures"], len(context.periods)
                        ).tolist(),
                        gaps.tolist(),
                        strict=True,
                    )
                ),
                first_seen_at=_instant(first_ns),
                last_seen_at=_instant(latest[0]),
                known_since_at=_instant(min(first_ns, before.get(label, (first_ns,))[0])),
                operations=tuple(
                    f"{service} {operation}"
                    for (service, operation), _ in parts(part, "service", "operation")
                ),
                differs=marks.get(int(label[0]), ()),
            )
        )
    return sorted(rows, key=lambda row: (-row.count.value, row.fingerprint))


def types(failures: Columns) -> tuple[Kind, ...]:
    """Return failures by type and service."""
    every = failures.sum("failures")
    found = [
        Kind(
            error_type=error_type,
            service=service,
            count=counted(part, "failures"),
            share=round(part.sum("failures") / every, 4),
            groups=np.unique(part["fingerprint"]).size,
        )
        for (error_type, service), part in parts(failures, "error_type", "service")
    ]
    return tuple(sorted(found, key=lambda kind: (-kind.count.value, kind.error_type, kind.service)))


def codes(columns: Columns) -> tuple[Code, ...]:
    """Return failures by code, of the rows of attributes.sql that count those."""
    columns = Columns(
        {
            "code": columns["value"],
            "arrivals": columns["arrivals"],
            "failures": columns["uses"],
            "variance": columns["weight_squares"] - columns["uses"],
        }
    )
    every = columns.sum("failures")
    found = [
        Code(
            code=code,
            count=counted(part, "failures"),
            share=round(part.sum("failures") / every, 4),
        )
        for (code,), part in parts(columns, "code")
    ]
    return tuple(sorted(found, key=lambda code: (-code.count.value, code.code)))


def _state(before: tuple[int, int] | None, context: Context) -> State:
    if before is None:
        return "new"
    window = context.window
    return (
        "ongoing"
        if _instant(before[1]) >= window.since - (window.until - window.since)
        else "regressed"
    )


def _instant(nanoseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)
