"""How much CPU sampling costs a span: on the collector's whole path beside an unsampled run, and step by step.

The path: segments of 50 000 spans in five requests, from their bytes to the blocks to insert (decode, derive, sample,
roll up, encode) and what the plan holds; without a sampler, with everything kept, a tenth and a hundredth, in turns.
The steps: 100 000 spans, traces of five, 10 to 100 000 strata; a minute's traffic goes through first, so that windows,
counts and memory are full.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from headgate.cli.bench.traffic import SPANS_PER_TRACE, trace_request
from headgate.collector.decisions import Decisions
from headgate.collector.heap import Heap
from headgate.collector.kernel import as_buffer
from headgate.collector.policy import Match, Policy
from headgate.collector.process import Processed, Request, process_sampled
from headgate.collector.rules import Rules
from headgate.collector.sample import Sampling
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
from headgate.collector.states import States

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


PATH_SPANS, REQUESTS = 50_000, 5


def on_the_path(times: int) -> list[dict[str, float | str]]:
    """Return microseconds a span of the whole of processing, by what sampling keeps."""
    now = time.time_ns()
    size = PATH_SPANS // REQUESTS
    segment = [
        Request(
            Signal.TRACES, trace_request(size, seed, now), size, now + seed * SECOND // REQUESTS
        )
        for seed in range(REQUESTS)
    ]
    names = iter(f"{number:032x}" for number in range(2))
    fresh = States.new(lambda: next(names))
    everything = Law(1e9, 1e9, 1.0, 1e12)
    policies = {
        "kept, sampled by nothing": None,
        "kept, sampler at work": Policy(everything, everything, 1e12),
        "a tenth kept": Policy(Law(1, 1, 0.1, 1e12), everything, 1e12),
        "a tenth, events too": Policy(Law(1, 1, 0.1, 1e12), everything, PATH_SPANS / 50),
        "a hundredth kept": Policy(Law(1, 1, 0.01, 1e12), everything, 1e12),
        "a tenth, two rules": Policy(
            Law(1, 1, 0.1, 1e12),
            everything,
            1e12,
            keep=(Match("http.route", ("/debug/*",)),),
            drop=(Match("http.route", ("/healthz", "/readyz")),),
        ),
    }
    actions: dict[str, Callable[[], Processed]] = {}
    for name, policy in policies.items():
        states = fresh
        for number in range(3):  # fill windows, counts and memory
            if policy is not None:
                how = Sampling(policy, 1, states, f"s{number}")
                states = process_sampled(segment, (), Rules(), how).states or states
        sampling = policy and Sampling(policy, 1, states, "measured")
        actions[name] = partial(process_sampled, segment, (), Rules(), sampling)
    # In turns: what else the machine does then meets all of them.
    best = dict.fromkeys(actions, float("inf"))
    for _ in range(times):
        for name, action in actions.items():
            best[name] = min(best[name], cpu_us(action, 1, PATH_SPANS))
    found: list[dict[str, float | str]] = []
    for name, action in actions.items():
        made, plan = action(), 0.0
        if made.chosen is not None and made.states is not None:
            decisions = Decisions({"s": made.chosen}, made.states)
            plan = cpu_us(decisions.to_bytes, times, PATH_SPANS)
        found.append(
            {
                "case": name,
                "us": best[name],
                "plan us": plan,
                "ratio": (best[name] + plan) / float(found[0]["us"]) if found else 1.0,
                "kept": 1 - made.sampled_out[Signal.TRACES] / PATH_SPANS,
            }
        )
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--repeat", type=int, default=5, help="runs; the least counts")
    options = parser.parse_args()
    path = on_the_path(options.repeat)
    steps = [
        measure(strata, law, options.repeat)
        for strata, law in (
            (10, Law(1e9, 1e9, 0.1, 1e12)),
            (10, Law()),
            (1000, Law()),
            (100_000, Law()),
        )
    ]
    if options.format == "json":
        print(json.dumps({"path": path, "steps": steps}, indent=2))
        return
    table = Table(title="The whole path, CPU (least of several runs)")
    for name in ("", "µs a span", "plan, µs", "ratio", "kept"):
        table.add_column(name, justify="right" if name else "left")
    for line in path:
        numbers = (line["us"], line["plan us"], line["ratio"], line["kept"])
        table.add_row(str(line["case"]), *(f"{float(number):.3g}" for number in numbers))
    Console().print(table)
    table = Table(title="The steps, CPU microseconds a span (least of several runs)")
    table.add_column("")
    for case in steps:
        table.add_column(f"{case['strata']} strata", justify="right")
    for name in steps[0]:
        table.add_row(name, *(f"{case[name]:.4g}" for case in steps))
    Console().print(table)


if __name__ == "__main__":
    main()
