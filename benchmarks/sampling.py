"""How much CPU a span costs the sampler, step by step, beside all of a collector's processing without sampling.

Segments of 100 000 spans, traces of five spans, 1 to 100 000 strata; a minute's traffic goes through first, so that
windows, counts and memory are full. `process` is the unsampled run of the same spans: decode, derive, roll up, encode.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from headgate.cli.bench.traffic import SPANS_PER_TRACE, trace_request
from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.process import Request, process
from headgate.collector.sampler import (
    Arrivals,
    Law,
    State,
    decide,
    read_ids,
    read_trace_state,
    repeat,
    strata_of,
    write_trace_state,
)
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

SPANS = 100_000
SECOND = 10**9


def cpu_us(action: Callable[[], object], repeat_times: int, spans: int = SPANS) -> float:
    """Return the least process CPU time of some runs, in microseconds a span."""
    best = float("inf")
    for _ in range(repeat_times):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best / spans * 1e6


def arrivals(rng: np.random.Generator, strata: int, start_ns: int) -> Arrivals:
    """Return a second's spans."""
    trace = np.repeat(np.arange(SPANS // SPANS_PER_TRACE), SPANS_PER_TRACE)
    high, low = rng.integers(1, 2**64, (2, SPANS // SPANS_PER_TRACE), np.uint64)
    nothing = np.full(SPANS, -1, np.int64)
    never = np.zeros(SPANS, bool)
    return Arrivals(
        trace_hi=high[trace],
        trace_lo=low[trace],
        arrival_ns=start_ns + np.arange(SPANS) * SECOND // SPANS,
        entry=np.arange(SPANS) % SPANS_PER_TRACE == 0,
        stratum=rng.integers(0, strata, SPANS),
        strata=np.arange(strata, dtype=np.uint64),
        upstream=nothing,
        randomness=nothing,
        keep=never,
        drop=never,
        segment=(start_ns, 1),
    )


def measure(strata: int, law: Law, times: int) -> dict[str, float]:
    """Return microseconds a span of each step, and the state's bytes."""
    rng = np.random.default_rng(1)
    state = State.new(1)
    for second in range(60):
        state = decide(arrivals(rng, strata, second * SECOND), law, state).state
    rows = arrivals(rng, strata, 60 * SECOND)
    decision = decide(rows, law, state)
    heap = Heap(as_buffer(rng.bytes(16 * SPANS)))
    ids = heap.add_texts([rng.bytes(16) for _ in range(1)] * SPANS)
    states = heap.add_texts([b""] * SPANS)
    explicit = heap.add_texts([b"ot=rv:%014x" % (n // SPANS_PER_TRACE) for n in range(SPANS)])
    kept = np.flatnonzero(decision.rows_kept.kept)
    final, none = decision.rows_kept.threshold[kept], np.full(kept.size, -1)
    keys = np.arange(strata, dtype=np.uint64)
    plain = states.take(kept)
    with_r = explicit.take(kept)
    upstream = replace(rows, upstream=np.where(rng.random(SPANS) < 0.5, 1 << 50, -1))
    return {
        "strata": strata,
        "probability": decision.probability,
        "kept share": kept.size / SPANS,
        "read ids, us": cpu_us(lambda: read_ids(heap.buffer, ids), times),
        "read states, us": cpu_us(lambda: read_trace_state(heap.buffer, explicit), times),
        "name strata, us": cpu_us(
            lambda: strata_of(
                (rows.stratum, keys), (rows.stratum % 7, keys), (rows.stratum % 3, keys)
            ),
            times,
        )
        if strata > 6
        else 0.0,
        "decide, us": cpu_us(lambda: decide(rows, law, state), times),
        "decide head-sampled, us": cpu_us(lambda: decide(upstream, law, state), times),
        "repeat, us": cpu_us(lambda: repeat(rows, decision.threshold, state.key), times),
        "write states, us": cpu_us(lambda: write_trace_state(heap, plain, none, final), times),
        "write states with rv, us": cpu_us(
            lambda: write_trace_state(heap, with_r, none, final), times
        ),
        "state as bytes, us": cpu_us(state.to_bytes, times),
        "state bytes": len(state.to_bytes()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--repeat", type=int, default=5, help="runs; the least counts")
    options = parser.parse_args()
    body = trace_request(SPANS // 10, 1, time.time_ns())
    segment = [Request(Signal.TRACES, body, SPANS // 10, time.time_ns())]
    unsampled = cpu_us(lambda: process(segment), options.repeat, SPANS // 10)
    cases = [
        {"process, us": unsampled, **measure(strata, law, options.repeat)}
        for strata, law in (
            (10, Law(1e9, 1e9, 0.1, 1e12)),
            (10, Law()),
            (1000, Law()),
            (100_000, Law()),
        )
    ]
    if options.format == "json":
        print(json.dumps(cases, indent=2))
        return
    table = Table(title="CPU, microseconds a span (least of several runs)")
    table.add_column("")
    for case in cases:
        table.add_column(f"{case['strata']} strata", justify="right")
    for name in cases[0]:
        table.add_row(name, *(f"{case[name]:.4g}" for case in cases))
    Console().print(table)


if __name__ == "__main__":
    main()
