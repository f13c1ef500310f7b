"""Recommendations (REQ-ERR-05): rules over the report's own numbers; each is listed in docs/explanation/errors.md."""

from collections.abc import Iterator, Sequence

from headgate.queries.estimate import Estimate
from headgate.queries.outcomes import ALERT_ABOVE_ERROR_RATE
from headgate.queries.reports.errors.ranking import LEAST_FAILURES, unreliable
from headgate.queries.reports.errors.records import (
    Advice,
    Association,
    Difference,
    Reliability,
    Row,
)

DOMINANT_SHARE = 0.5
TIMEOUT_SHARE = 0.3
STRONG_ODDS_RATIO = 3.0
STRONG_EFFECT = 0.3
_AT_MOST = 3


def advise(
    error_rate: Estimate | None,
    timeouts: float,
    rows: Sequence[Row],
    ranking: Sequence[Reliability],
    differences: Sequence[Difference],
    associations: Sequence[Association],
) -> tuple[Advice, ...]:
    """Return what every rule has to say, the most urgent first."""
    if error_rate is None or not rows:
        return ()
    every = sum(row.count.value for row in rows)
    return (
        *_high_rate(error_rate, rows),
        *_began(rows),
        *_dominant(rows),
        *_unreliable(ranking),
        *_concentrated(differences),
        *_late(timeouts, every),
        *_sized(associations),
    )


def _high_rate(error_rate: Estimate, rows: Sequence[Row]) -> Iterator[Advice]:
    if error_rate.value > ALERT_ABOVE_ERROR_RATE:
        yield Advice(
            "high error rate",
            f"{error_rate.value:.1%} of calls fail, more than {ALERT_ABOVE_ERROR_RATE:.0%}. Begin with"
            f" {_name(rows[0])}, which is {rows[0].share:.0%} of it.",
        )


def _began(rows: Sequence[Row]) -> Iterator[Advice]:
    """Something that was not there before has a cause that is recent."""
    for state, verb in (("new", "was never seen before"), ("regressed", "is back")):
        found = [r for r in rows if r.state == state and r.count.value >= LEAST_FAILURES]
        for row in found[:_AT_MOST]:
            yield Advice(
                f"{state} error",
                f"{_name(row)} {verb}; it began at {row.first_seen_at:%Y-%m-%d %H:%M} UTC. Compare with"
                " what was deployed or configured then.",
            )


def _dominant(rows: Sequence[Row]) -> Iterator[Advice]:
    if rows[0].share >= DOMINANT_SHARE and len(rows) > 1:
        yield Advice(
            "one cause",
            f"{_name(rows[0])} alone is {rows[0].share:.0%} of all failures: repairing it helps most.",
        )


def _unreliable(ranking: Sequence[Reliability]) -> Iterator[Advice]:
    for entry in unreliable(ranking)[:_AT_MOST]:
        if entry.success_rate is not None:
            yield Advice(
                "unreliable operation",
                f"{entry.service} {entry.operation} succeeds in only {entry.success_rate.value:.1%} of"
                f" {entry.calls.value:,.0f} calls.",
            )


def _times(ratio: float) -> str:
    return "over 1000" if ratio > 1000 else f"{ratio:.3g}"


def _concentrated(differences: Sequence[Difference]) -> Iterator[Advice]:
    strong = [d for d in differences if d.odds_ratio_low >= STRONG_ODDS_RATIO]
    for found in strong[:_AT_MOST]:
        yield Advice(
            "concentrated",
            f"Calls with {found.key}={found.value} have {_times(found.odds_ratio)} times the odds of failing"
            f" ({found.failure_share:.0%} of failures, {found.success_share:.1%} of successes)."
            " Look there first.",
        )


def _late(timeouts: float, every: float) -> Iterator[Advice]:
    if timeouts >= LEAST_FAILURES and timeouts / every >= TIMEOUT_SHARE:
        yield Advice(
            "timeouts",
            f"{timeouts / every:.0%} of failures are timeouts: look at what is waited for before the"
            " limits are raised.",
        )


def _sized(associations: Sequence[Association]) -> Iterator[Advice]:
    for found in associations:
        if abs(found.effect) >= STRONG_EFFECT and found.measure != "duration":
            larger = "larger" if found.effect > 0 else "smaller"
            yield Advice(
                "size",
                f"Failed calls have {larger} {found.measure} (effect {found.effect:+.2f}): set a limit,"
                " or handle such input apart.",
            )
        elif found.measure == "duration" and found.effect <= -STRONG_EFFECT:
            yield Advice(
                "fails at once",
                f"Failed calls are shorter than others of their operation (effect {found.effect:+.2f}):"
                " they are refused rather than overloaded. Look at validation, permissions and connections.",
            )
        elif found.measure == "duration" and found.effect >= STRONG_EFFECT:
            yield Advice(
                "fails when slow",
                f"Failed calls take longer than others of their operation (effect {found.effect:+.2f}):"
                " look at load, locks and what they wait for.",
            )


def _name(row: Row) -> str:
    return f"{row.error_type or 'an error without type'} in {row.operations[0]}"
