"""Requests of spans known by number, pipelines with small limits, files that cannot grow, and what books must show."""

from __future__ import annotations

import os
import resource
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headgate.collector.pipeline import Limits, Pipeline
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from headgate.store import Store

NOW = 1_790_000_000_000_000_000
MINUTE = 60 * 10**9
QUICK = Limits(busy_age_s=0.05, idle_age_s=0.05, reserve_bytes=0)
_ZERO = 1 << 63  # all zeros are no id
PATIENT = Limits(busy_age_s=1e9, idle_age_s=1e9, reserve_bytes=0)
"""Nothing is sealed but on request or for its size."""


def request(numbers: Iterable[int], days: int = 1, filling: int = 0) -> bytes:
    """Return a request of one server span a number, with one user in seven, over so many days before now.

    `filling` is the size of an attribute that compresses well.
    """
    message = ExportTraceServiceRequest()
    batch = message.resource_spans.add()
    name = batch.resource.attributes.add(key="service.name")
    name.value.string_value = "shop"
    batch.resource.attributes.add(key="service.version").value.string_value = "1"
    spans = batch.scope_spans.add().spans
    for number in numbers:
        start_ns = NOW - number % days * 86400 * 10**9
        span = spans.add(
            name=f"GET /{number % 3}",
            trace_id=(number or _ZERO).to_bytes(16, "big"),
            span_id=(number or _ZERO).to_bytes(8, "big"),
            kind=2,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + 1000 * number,
        )
        span.attributes.add(key="user.id").value.string_value = f"user {number % 7}"
        if filling:
            span.attributes.add(key="filling").value.string_value = "x" * filling
    return message.SerializeToString()


def pipeline(
    store: Store,
    directory: Path,
    limits: Limits = QUICK,
    clock_ns: Callable[[], int] = lambda: NOW,
    make_durable: Callable[[], None] = lambda: None,
) -> Pipeline:
    """Return a pipeline, started."""
    made = Pipeline(
        store,
        directory,
        clock_ns=clock_ns,
        monotonic_s=time.monotonic,
        new_id=lambda: os.urandom(16).hex(),
        make_durable=make_durable,
        limits=limits,
    )
    made.start()
    return made


def accept(into: Pipeline, numbers: Sequence[int], **shape: int) -> None:
    """Send one request of these spans and wait for its acknowledgement."""
    into.accept(Signal.TRACES, request(numbers, **shape)).result(20)


def wait_until(met: Callable[[], Any], timeout_s: float = 20.0) -> None:
    """Return when a condition that nothing announces is met."""
    deadline_s = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline_s, "it never came about"
        time.sleep(0.01)


def ledger(store: Store) -> dict[str, int]:
    """Return the ledger's sums of items."""
    columns = ("Received", "Stored", "SampledOut", "Rejected", "Duplicate")
    sums = ", ".join(f"sum({column})" for column in columns)
    (row,) = store.client().query(f"SELECT {sums} FROM ledger").result_rows
    return dict(zip(columns, row, strict=True))


@contextmanager
def writes_fail_after(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: what the kernel then says is what a full disk says."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def check_books(store: Store, numbers: Iterable[int], rejected: int = 0) -> dict[str, int]:
    """Assert that these spans and no others are stored once, in every table and rollup; return the ledger."""
    expected = sorted(numbers)
    client = store.client()
    rows = client.query(
        f"SELECT reinterpretAsUInt64(reverse(unhex(SpanId))) % {_ZERO} FROM otel_traces"
    )
    assert sorted(row[0] for row in rows.result_rows) == expected

    def one(sql: str) -> Any:
        return client.query(sql).result_rows[0]

    count = len(expected)
    assert one("SELECT count() FROM events") == (count,)
    duration = float(sum(1000 * number for number in expected))
    for table in ("usage_minute", "usage_quarter", "usage_day"):
        assert one(f"SELECT sum(Calls), sum(DurationSum) FROM {table}") == (count, duration), table
    for table in ("dimension_quarter", "dimension_day"):
        assert one(f"SELECT sum(Calls), sum(DurationSum) FROM {table}") == (count, duration), table
    for table in ("user_hour", "user_day"):
        assert one(f"SELECT sum(Calls) FROM {table}") == (count,), table
    books = ledger(store)
    assert books["Stored"] == count
    assert books["Rejected"] == rejected
    assert books["Received"] == sum(books.values()) - books["Received"]
    return books
