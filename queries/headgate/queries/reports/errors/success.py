"""How often calls end well: of all, of each day, of each operation, and which operation can be relied on most."""

from typing import Any

from headgate.queries.columns import Columns, parts
from headgate.queries.declaration import Context
from headgate.queries.estimate import Estimate, count, rate
from headgate.queries.reports.errors.records import Day, Reliability
from headgate.queries.significance import effective, wilson_low

ALERT_ABOVE_ERROR_RATE = 0.20


def verdict(error_rate: Estimate | None) -> str:
    """Return REQ-SUC-02 and -03 as a word: they name the same threshold from both sides."""
    if error_rate is None:
        return "no calls"
    return "alert" if error_rate.value > ALERT_ABOVE_ERROR_RATE else "ok"


def success(outcomes: Columns) -> dict[str, Any]:
    """Return the fields of `Success`."""
    well = outcomes.chosen(outcomes["outcome"] == "ok")
    failed = outcomes.chosen(outcomes["outcome"] != "ok")
    late = outcomes.chosen(outcomes["outcome"] == "timeout")
    calls = outcomes.sum("calls")
    spread = (well.sum("variance"), failed.sum("variance"))
    return {
        "calls": _calls(outcomes),
        "success_count": _calls(well),
        "failure_count": _calls(failed),
        "timeout_count": _calls(late),
        "success_rate": rate(well.sum("calls"), calls, *spread).rounded(4) if calls else None,
        "error_rate": rate(failed.sum("calls"), calls, *spread[::-1]).rounded(4) if calls else None,
    }


def days(outcomes: Columns, context: Context) -> tuple[Day, ...]:
    """Return every day that has calls."""
    return tuple(
        Day(date=context.periods.label(int(number)), **success(part))
        for (number,), part in parts(numbered(outcomes, context), "period")
    )


def numbered(columns: Columns, context: Context) -> Columns:
    """Return columns with the number of each row's period."""
    if not columns.rows:
        return columns
    return columns.replaced("period", context.periods.index(columns["period_s"].astype("int64")))


def reliability(outcomes: Columns) -> tuple[Reliability, ...]:
    """Rank operations by the success rate that their calls prove (REQ-ERR-03, PIT-R0-01)."""
    found = []
    for label, part in parts(outcomes, "service", "operation"):
        calls = part.sum("calls")
        # Rows of weight w tell less than w rows would: sum w^2 = sum w (w - 1) + sum w.
        size = float(effective(calls, part.sum("variance") + calls))
        share = part.chosen(part["outcome"] == "ok").sum("calls") / calls
        found.append((round(float(wilson_low(share * size, size)), 6), label, part))
    found.sort(key=lambda entry: (-entry[0], -entry[2].sum("calls"), entry[1]))
    scores = [entry[0] for entry in found]
    ranked = []
    for score, (service, operation), part in found:
        numbers = success(part)
        ranked.append(
            Reliability(
                rank=1 + scores.index(score),
                service=service,
                operation=operation,
                proved_rate=round(score, 4),
                verdict=verdict(numbers["error_rate"]),
                **numbers,
            )
        )
    return tuple(ranked)


def _calls(outcomes: Columns) -> Estimate:
    return count(outcomes.sum("calls"), outcomes.sum("variance"), outcomes.sum("arrivals"))
