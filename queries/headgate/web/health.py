"""How the server is, for machines.

    GET /healthz       200 while the process answers
    GET /readyz        200 when it takes data and its store answers, else 503 and why
    GET /metrics       Prometheus: what it took, what became of it, what waits
    GET /api/status    the same as JSON: received, stored, ... by signal, and the rest beside them

/metrics and /api/status exist where there is a collector. Threads of their own answer, so that neither reports nor a
store that hangs keep a probe waiting.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from concurrent.futures import Executor

    from prometheus_client import Metric
    from starlette.requests import Request

    from headgate.collector.vitals import Vitals
    from headgate.store import Store

_GAUGES = {
    "backlog_bytes": "Bytes of the journal that are acknowledged and not yet released.",
    "waiting_segments": "Sealed segments that wait to be stored.",
    "memory_bytes": "Bytes of requests in memory.",
    "memory_limit_bytes": "Most bytes of requests that may be in memory.",
    "resident_bytes": "Resident memory of the process, the embedded engine included.",
    "uptime_s": "Seconds since the start.",
}
_COUNTERS = {
    "refused": (
        "headgate_refused_requests",
        "OTLP requests told to come again since the start: no room, or a stop; no ledger has them.",
    ),
    "unauthorized": (
        "headgate_unauthorized_requests",
        "OTLP requests without a valid token since the start; no ledger has them.",
    ),
    "forgotten_early": (
        "headgate_forgotten_requests",
        "Requests since the start, so many that their retries are not recognised for the full ten minutes.",
    ),
    "quarantined": (
        "headgate_quarantined",
        "What was put aside since the start, because it could never be stored.",
    ),
    "broken_parts": (
        "headgate_broken_parts",
        "Parts that the embedded engine could not write whole, as on a full disk; what is left lies in detached/.",
    ),
}
_NS = 1e9
_PATIENCE_S = 5.0


def health_routes(
    store: Store,
    *,
    look: Callable[[], Vitals] | None,
    sampling: Callable[[], Mapping[str, float]],
) -> list[Route]:
    """Return the routes; `look` is called for each answer, `sampling` gives the probability in force by signal."""

    def reason() -> str | None:
        if look is not None and not look().accepting:
            return "the server is stopping"
        try:
            store.client().query("SELECT 1")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what makes us not ready
            return f"the store does not answer: {_first_line(error)}"
        return None

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    readiness = Readiness(reason, _PATIENCE_S)

    async def ready(_: Request) -> Response:
        why = await readiness.ask()
        return JSONResponse(
            {"ready": why is None, **({"reason": why} if why else {})}, 503 if why else 200
        )

    routes = [Route("/healthz", alive), Route("/readyz", ready)]
    return routes if look is None else [*routes, *_collector_routes(look, sampling)]


class Readiness:
    """Asks whether the store answers: once at a time, whoever wants to know meanwhile waits for the same answer."""

    def __init__(self, reason: Callable[[], str | None], patience_s: float) -> None:
        """`reason` returns why not, however long that takes; an answer is waited for `patience_s`."""
        self._reason = reason
        self._patience_s = patience_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="headgate-ready")
        self._asked: asyncio.Future[str | None] | None = None

    async def ask(self) -> str | None:
        """Return why the store is not ready, None when it is."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().run_in_executor(self._pool, self._reason)
        asked = self._asked
        await asyncio.wait([asked], timeout=self._patience_s)
        return (
            asked.result()
            if asked.done()
            else f"the store has not answered for {self._patience_s:g} s"
        )


def _collector_routes(
    look: Callable[[], Vitals], sampling: Callable[[], Mapping[str, float]]
) -> list[Route]:
    # To look takes no time, but where other workers are asked.
    pool: Executor = ThreadPoolExecutor(2, thread_name_prefix="headgate-look")

    async def looked() -> Vitals:
        return await asyncio.get_running_loop().run_in_executor(pool, look)

    async def status(_: Request) -> Response:
        found = asdict(await looked())
        return JSONResponse({**found.pop("items"), **found, "sampling": dict(sampling())})

    async def metrics(_: Request) -> Response:
        from prometheus_client import CONTENT_TYPE_LATEST

        found = await looked()
        return Response(exposition(found, sampling()), media_type=CONTENT_TYPE_LATEST)

    return [Route("/metrics", metrics), Route("/api/status", status)]


def worker_routes(
    look: Callable[[], Vitals],
    flush: Callable[[], bool],
    in_pool: Callable[[Callable[[], Any]], Awaitable[Any]],
) -> list[Route]:
    """Return what one worker of several is asked by another: POST /api/flush and GET /api/vitals, of itself alone."""

    async def flushed(_: Request) -> Response:
        return JSONResponse({"stored": await in_pool(flush)})

    async def alone(_: Request) -> Response:
        return JSONResponse(asdict(look()))

    return [Route("/api/flush", flushed, methods=["POST"]), Route("/api/vitals", alone)]


def exposition(vitals: Vitals, sampling: Mapping[str, float]) -> bytes:
    """Return the vitals in Prometheus' text format, and what every process tells of itself (`process_*`)."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    class Families:
        def collect(self) -> Iterator[Metric]:
            return _families(vitals, sampling)

    registry = CollectorRegistry()
    registry.register(Families())
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _families(vitals: Vitals, sampling: Mapping[str, float]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    items = CounterMetricFamily(
        "headgate_items",
        "Spans, log records and data points since the start, by what became of them.",
        labels=("signal", "fate"),
    )
    for fate, by_signal in vitals.items.items():
        for signal, count in by_signal.items():
            items.add_metric((signal, fate), count)
    yield items
    for name, (family, meaning) in _COUNTERS.items():
        yield CounterMetricFamily(family, meaning, value=getattr(vitals, name))
    for name, meaning in _GAUGES.items():
        family = f"headgate_{name.removesuffix('_s')}{'_seconds' if name.endswith('_s') else ''}"
        yield GaugeMetricFamily(family, meaning, value=getattr(vitals, name))
    yield GaugeMetricFamily(
        "headgate_accepting", "1 while requests are taken.", value=int(vitals.accepting)
    )
    if vitals.last_stored_ns is not None:
        yield GaugeMetricFamily(
            "headgate_last_stored_timestamp_seconds",
            "When a segment was last stored.",
            value=vitals.last_stored_ns / _NS,
        )
    probability = GaugeMetricFamily(
        "headgate_sampling_probability",
        "Probability of the sampling law for the last segment.",
        labels=("signal",),
    )
    for signal, value in sampling.items():
        probability.add_metric((signal,), value)
    yield probability


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
