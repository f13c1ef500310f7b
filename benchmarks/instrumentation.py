"""What `headgate-instrumentation` costs an application, as ratios within one run.

    python benchmarks/instrumentation.py [--seconds 60] [--only calls|flask|fastapi|import]

The two sides of each ratio take turns, so that a busy machine slows both. Calls are compared by their
smallest times; imports by CPU time; requests by the CPU time of the thread that serves, because by the
clock a shared machine measures its neighbours, over many starts of all processes.
`--seconds 300 --only flask` is enough to tell 1.04 from 1.05. Exit code 1 if a ratio is above its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from instrumentation_sides import compare
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from headgate.instrumentation import telemetry, track
from headgate.instrumentation.processors import install
from headgate.instrumentation.recorder import Host
from headgate.instrumentation.switch import switch

if TYPE_CHECKING:
    from collections.abc import Callable


class Discard(SpanExporter):
    """Takes spans and forgets them: the exporter is the same on both sides."""

    def export(self, spans):  # noqa: ARG002
        """Accept everything."""
        return SpanExportResult.SUCCESS


def provider() -> TracerProvider:
    """Return an SDK as an application has it."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(Discard(), max_queue_size=1 << 16))
    return made


def nothing(first=None):
    """Do nothing: the function whose overhead is all that is measured."""


def turns(sides: dict[str, Callable[[int], None]], calls: int, seconds: float) -> dict[str, float]:
    """Return the smallest time of a call on each side, in nanoseconds."""
    best = dict.fromkeys(sides, float("inf"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, run in sides.items():
            began = time.perf_counter_ns()
            run(calls)
            best[name] = min(best[name], (time.perf_counter_ns() - began) / calls)
    return best


def measure_calls(seconds: float) -> list[dict[str, object]]:
    """Compare a tracked call with a bare span, and an untracked one with a bare call."""
    tracer = provider().get_tracer("benchmark")
    tracked = track(nothing)

    def bare_span(calls):
        for _ in range(calls):
            with tracer.start_as_current_span("nothing"):
                nothing()

    def tracked_call(calls):
        for _ in range(calls):
            tracked()

    def bare_call(calls):
        for _ in range(calls):
            nothing()

    off = turns({"bare": bare_call, "off": tracked_call}, 20_000, seconds)
    ours = provider()
    install(ours, get_logger_provider())
    switch.turn("otel", "a benchmark")
    # No global provider is set, so that the bare span keeps its own.
    telemetry._state.recorder = Host(ours, get_logger_provider())  # noqa: SLF001
    telemetry._state.generation = switch.generation  # noqa: SLF001
    on = turns({"bare": bare_span, "tracked": tracked_call}, 500, seconds)
    return [
        result(
            "tracked call / bare span",
            on["tracked"] / on["bare"],
            1.15,
            f"{on['tracked'] / 1e3:.1f} us",
        ),
        result(
            "off: added to a call",
            (off["off"] - off["bare"]) / 1e3,
            0.1,
            f"{off['off']:.0f} ns",
            "us",
        ),
    ]


def measure_requests(kind: str, seconds: float) -> list[dict[str, object]]:
    """Compare a request under our distribution with one under OpenTelemetry's."""
    return [result(*each) for each in compare(kind, seconds)]


def measure_import(seconds: float) -> list[dict[str, object]]:
    """Compare importing all that `opentelemetry-instrument` needs, with and without us."""
    sdk = (
        "import opentelemetry.sdk._configuration, opentelemetry.instrumentation.distro, opentelemetry.propagate, "
        "opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.exporter.otlp.proto.http._log_exporter, "
        "opentelemetry.exporter.otlp.proto.http.metric_exporter"
    )
    codes = {
        "sdk": sdk,
        "ours": sdk + ", headgate.instrumentation.distro",
        "track": "import headgate.instrumentation",
        "python": "pass",
    }
    best = dict.fromkeys(codes, float("inf"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, code in codes.items():
            child = subprocess.Popen([sys.executable, "-c", code])
            usage = os.wait4(child.pid, 0)[2]
            child.returncode = 0
            best[name] = min(best[name], usage.ru_utime + usage.ru_stime)
    ratio = (best["ours"] - best["python"]) / (best["sdk"] - best["python"])
    alone = (best["track"] - best["python"]) * 1e3
    return [
        result(
            "import / the SDK's own",
            ratio,
            1.1,
            f"`track` alone {alone:.0f} ms, the SDK {(best['sdk'] - best['python']) * 1e3:.0f} ms",
        )
    ]


def result(
    name: str, value: float, limit: float, detail: str, unit: str = "x"
) -> dict[str, object]:
    """Return one line of the report."""
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "limit": limit,
        "ok": value <= limit,
        "detail": detail,
    }


def main() -> int:
    """Measure everything, print a table, and return 1 if a limit is broken."""
    parser = argparse.ArgumentParser(
        description="What headgate-instrumentation costs an application."
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="time for measuring, all together (default 60)"
    )
    parser.add_argument(
        "--only", choices=("calls", "flask", "fastapi", "import"), help="measure this alone"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    parts: dict[str, tuple[float, Callable[[float], list[dict[str, object]]]]] = {
        "calls": (0.1, measure_calls),
        "flask": (0.3, partial(measure_requests, "flask")),
        "fastapi": (0.4, partial(measure_requests, "fastapi")),
        "import": (0.2, measure_import),
    }
    if options.only:
        results = parts[options.only][1](options.seconds)
    else:
        results = [
            each for share, measure in parts.values() for each in measure(share * options.seconds)
        ]
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        for each in results:
            mark = "ok  " if each["ok"] else "OVER"
            print(
                f"{mark} {each['name']:44} {each['value']:7} {each['unit']:2} (limit {each['limit']}) {each['detail']}"
            )
    return 0 if all(each["ok"] for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
