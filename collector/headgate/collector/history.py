"""What sampling did with a segment, as rows of `sampling_history`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.block import Block, make_block
from headgate.collector.heap import Heap
from headgate.collector.native import (
    encode_array,
    encode_dictionary,
    encode_numbers,
    encode_strings,
)
from headgate.collector.sampler.thresholds import DROP, probability_of
from headgate.store.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.collector.native import Encoded
    from headgate.collector.sample import Sample
    from headgate.collector.sampler import Law, Thinned

MOST_STRATA = 20
MOST_STRETCHES = 16
APART_NS = 60 * 10**9
_NUMBERS = {
    "DateTime64(9, 'UTC')": np.int64, "UInt32": np.uint32, "UInt64": np.uint64, "Float64": np.float64,
}  # fmt: skip
_NOTHING: dict[str, Any] = {
    "Low": 0.0, "High": 0.0, "Rate": 1.0, "RowsBudget": 0.0,
    "WindowRequests": 0.0, "WindowRows": 0.0, "Probability": 1.0, "Cap": np.inf,
    "LeastProbability": 1.0, "Requests": 0, "Rows": 0, "ExpectedRequests": 0.0, "ExpectedRows": 0.0,
    "KeptRequests": 0, "KeptRows": 0, "EventsThreshold": 0, "EventsFrom": 0, "EventsTo": 0,
    "StrataBy": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stratum:
    """What arrived of a stratum in requests, what was expected to be kept of it and what was."""

    name: str
    requests: int
    expected: float
    kept: int


@dataclass(frozen=True, slots=True)
class Account:
    """One row of the table: values by column, those that are not named being those of no sampling."""

    values: dict[str, Any]
    strata: tuple[Stratum, ...] = ()


def rows_account(signal: str, sample: Sample, law: Law, by: Sequence[str]) -> Account:
    """Return the account of a decision about traces or log records."""
    decision, arrivals = sample.decision, sample.arrivals
    if decision is None:
        raise ValueError("A repeat has no account of its own: it is in the plan.")
    kept = decision.rows_kept.kept
    sampled = decision.threshold[decision.threshold < DROP]
    return Account(
        {
            "Time": arrivals.arrival_ns.min(),
            "TimeEnd": arrivals.arrival_ns.max(),
            "Signal": signal,
            "Low": law.low,
            "High": law.high,
            "Rate": law.rate,
            "RowsBudget": law.rows,
            "WindowRequests": decision.requests,
            "WindowRows": decision.rows,
            "Probability": decision.probability,
            "Cap": decision.cap,
            "LeastProbability": float(probability_of(sampled).min(initial=1.0)),
            "Requests": decision.counted.size,
            "Rows": len(arrivals),
            "ExpectedRequests": decision.expected_requests,
            "ExpectedRows": decision.expected_rows,
            "KeptRequests": int(kept[decision.counted].sum()),
            "KeptRows": int(kept.sum()),
            "StrataBy": ",".join(by),
        },
        _busiest(sample, np.flatnonzero(sample.threshold >= 0)) if decision.probability < 1 else (),
    )


def _busiest(sample: Sample, rows: NDArray[np.int64]) -> tuple[Stratum, ...]:
    """Return the strata with most requests, and all others as one without a name; `rows` are those of the arrivals."""
    decision = sample.decision
    assert decision is not None  # noqa: S101 - the caller has just read it
    counted = decision.counted
    stratum, trace = sample.arrivals.stratum[counted], decision.trace[counted]
    size = int(sample.arrivals.strata.size)
    requests = np.bincount(stratum, minlength=size)
    expected = np.bincount(stratum, weights=decision.passing[trace], minlength=size)
    kept = np.bincount(stratum, weights=decision.rows_kept.kept[counted], minlength=size)
    order = np.argsort(-requests, kind="stable")
    found = [
        Stratum(
            json.dumps(sample.strata.name(int(rows[counted[stratum == s][0]])), ensure_ascii=False),
            int(requests[s]), float(expected[s]), int(kept[s]),
        )
        for s in order[:MOST_STRATA].tolist() if requests[s]
    ]  # fmt: skip
    rest = order[MOST_STRATA:]
    if requests[rest].any():
        sums = int(requests[rest].sum()), float(expected[rest].sum()), int(kept[rest].sum())
        found.append(Stratum("", *sums))
    return tuple(found)


def event_accounts(
    time_ns: NDArray[np.int64],
    arrival_ns: NDArray[np.int64],
    thinned: Thinned,
    budget: float,
) -> list[Account]:
    """Return the accounts of a segment's event rows: one for each stretch of event time, at most MOST_STRETCHES.

    Stretches lie a minute apart, so that what is late, or has a clock of its own, does not make a threshold reach over
    all the time between.
    """
    p = float(probability_of(np.array([thinned.threshold]))[0])
    order = np.argsort(time_ns, kind="stable")
    gaps = np.diff(time_ns[order])
    cuts = np.flatnonzero(gaps > APART_NS)
    if cuts.size >= MOST_STRETCHES:
        cuts = np.sort(cuts[np.argsort(-gaps[cuts], kind="stable")[: MOST_STRETCHES - 1]])
    shared = {
        "Time": arrival_ns.min(),
        "TimeEnd": arrival_ns.max(),
        "Signal": "events",
        "RowsBudget": budget,
        "WindowRows": thinned.rows,
        "WindowRequests": thinned.rows,
        "Probability": p,
        "LeastProbability": p,
        "EventsThreshold": thinned.threshold,
    }
    return [
        Account(
            shared
            | {
                "EventsFrom": time_ns[rows].min(),
                "EventsTo": time_ns[rows].max(),
                "Requests": rows.size,
                "Rows": rows.size,
                "ExpectedRequests": rows.size * p,
                "ExpectedRows": rows.size * p,
                "KeptRequests": int(thinned.kept[rows].sum()),
                "KeptRows": int(thinned.kept[rows].sum()),
            }
        )
        for rows in np.split(order, cuts + 1)
    ]


def history_block(accounts: Sequence[Account], collector: str, collectors: int) -> Block:
    """Encode accounts, at least one."""
    whose = {"Collector": collector, "Collectors": collectors}
    filled = [_NOTHING | whose | account.values for account in accounts]
    strata = [stratum for account in accounts for stratum in account.strata]
    counts = np.array([len(account.strata) for account in accounts])
    columns = {
        "Strata.Name": encode_array(counts, _words([s.name for s in strata])),
        "Strata.Requests": encode_array(counts, _numbers([s.requests for s in strata], np.uint64)),
        "Strata.Expected": encode_array(counts, _numbers([s.expected for s in strata], np.float64)),
        "Strata.Kept": encode_array(counts, _numbers([s.kept for s in strata], np.uint64)),
    }
    for column in COLUMNS["sampling_history"]:
        if column.name not in columns:
            values = [row[column.name] for row in filled]
            kind = _NUMBERS.get(column.type)
            columns[column.name] = _numbers(values, kind) if kind else _words(values)
    return make_block("sampling_history", len(filled), columns)


def _numbers(values: list[Any], kind: Any) -> Encoded:
    return encode_numbers(np.array(values, kind))


def _words(values: list[str]) -> Encoded:
    distinct = list(dict.fromkeys(values))
    place = {value: code for code, value in enumerate(distinct)}
    heap = Heap(np.empty(0, np.uint8))
    texts = heap.add_texts([value.encode(errors="replace") for value in distinct])
    codes = np.array([place[value] for value in values], np.int64)
    return encode_dictionary(codes, encode_strings(heap.buffer, texts), len(distinct))
