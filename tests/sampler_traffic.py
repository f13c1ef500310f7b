"""Synthetic segments for the sampler's tests and benchmark: columns as the collector derives them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.sampler import Arrivals, Decision, Law, State, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

SECOND = 10**9
START_NS = 1_790_000_000 * SECOND
WHOLE = 1 << 56


def fresh_ids(
    rng: np.random.Generator, count: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return random trace ids."""
    high, low = rng.integers(1, 2**64, (2, count), np.uint64)
    return high, low


def segment(
    rng: np.random.Generator,
    trace: NDArray[np.int64],
    *,
    entry: NDArray[np.bool_] | bool = True,
    stratum: NDArray[np.int64] | int = 0,
    strata: int = 0,
    start_ns: int = START_NS,
    length_ns: int = SECOND,
    ids: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None,
    **more: Any,
) -> Arrivals:
    """Return a segment of one row for each number in `trace`, arriving evenly; other columns as given or empty."""
    size = trace.size
    high, low = fresh_ids(rng, int(trace.max(initial=0)) + 1) if ids is None else ids
    codes = np.broadcast_to(stratum, size).astype(np.int64)
    columns: dict[str, Any] = {
        "upstream": np.full(size, -1, np.int64),
        "randomness": np.full(size, -1, np.int64),
        "keep": np.zeros(size, bool),
        "drop": np.zeros(size, bool),
        "segment": (start_ns, 77),
        **more,
    }
    return Arrivals(
        trace_hi=high[trace],
        trace_lo=low[trace],
        arrival_ns=start_ns + np.arange(size) * length_ns // max(size, 1),
        entry=np.broadcast_to(entry, size).copy(),
        stratum=codes,
        strata=np.arange(1, max(strata, int(codes.max(initial=0)) + 1) + 1).astype(np.uint64),
        **columns,
    )


def renamed(arrivals: Arrivals, rng: np.random.Generator) -> Arrivals:
    """Return the same traffic with other trace ids."""
    pairs = np.stack((arrivals.trace_hi, arrivals.trace_lo), axis=1)
    _, number = np.unique(pairs, axis=0, return_inverse=True)
    high, low = fresh_ids(rng, int(number.max()) + 1)
    return replace(arrivals, trace_hi=high[number.ravel()], trace_lo=low[number.ravel()])


def low56(arrivals: Arrivals) -> NDArray[np.int64]:
    """Return R of rows without explicit randomness."""
    return (arrivals.trace_lo & np.uint64(WHOLE - 1)).astype(np.int64)


def upstream_sampled(arrivals: Arrivals, threshold: NDArray[np.int64] | int) -> Arrivals:
    """Return what a consistent sampler upstream lets pass (T by row, -1: unsampled), with T in its rows."""
    upstream = np.broadcast_to(threshold, len(arrivals)).astype(np.int64)
    passes = np.flatnonzero(low56(arrivals) >= upstream)
    return chosen(replace(arrivals, upstream=upstream), passes)


def chosen(arrivals: Arrivals, rows: NDArray[np.int64]) -> Arrivals:
    """Return some rows of a segment."""
    columns = {
        name: getattr(arrivals, name)[rows]
        for name in (
            "trace_hi",
            "trace_lo",
            "arrival_ns",
            "entry",
            "stratum",
            "upstream",
            "randomness",
            "keep",
            "drop",
        )
    }
    return replace(arrivals, **columns)


def run(
    segments: Iterable[Arrivals],
    law: Law | Callable[[int], Law],
    state: State | None = None,
) -> list[Decision]:
    """Decide about segments one after the other; `law` may depend on the segment's number."""
    state = State.new(1) if state is None else state
    decisions = []
    for number, arrivals in enumerate(segments):
        decision = decide(arrivals, law if isinstance(law, Law) else law(number), state)
        state = decision.state
        decisions.append(decision)
    return decisions
