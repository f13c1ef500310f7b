"""Real OpenTelemetry exporters that send until they are acknowledged; a program of its own.

Usage: retrying_clients.py GRPC HTTP TIMEOUT_S. Sends batches over gRPC and HTTP, gzipped or not, each again and again
until the collector says OK, until standard input ends; an exporter itself tries for TIMEOUT_S. Then finishes what is
under way and prints what was acknowledged as JSON: {"spans": {span id: start in nanoseconds}, "seconds": [time of each
export that went well at once], "again": how many exports had to be repeated}.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time

from grpc import Compression as GrpcCompression
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

logging.disable(logging.CRITICAL)
PAUSE_S = 0.02


def batch(provider: TracerProvider, size: int) -> list[ReadableSpan]:
    """Return finished spans, parents and children."""
    made: list[ReadableSpan] = []
    tracer = provider.get_tracer("faults")
    for number in range(size // 2):
        with tracer.start_as_current_span(f"GET /{number % 5}", kind=SpanKind.SERVER) as parent:
            parent.set_attribute("user.id", f"user {number % 11}")
            with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT) as child:
                child.set_attribute("db.statement", "SELECT 1 " * 20)
        made += [parent, child]
    return made


def main() -> None:
    """Send until standard input ends."""
    grpc, http = sys.argv[1:3]
    timeout_s = int(sys.argv[3])
    stopping = threading.Event()
    provider = TracerProvider(resource=Resource({"service.name": "faults"}))
    spans: dict[str, int] = {}
    seconds: list[float] = []
    again = [0]

    def work(exporter: GrpcExporter | HttpExporter, size: int) -> None:
        while not stopping.is_set():
            sent = batch(provider, size)
            began = time.monotonic()
            first = exporter.export(sent)
            if first is SpanExportResult.SUCCESS:
                seconds.append(time.monotonic() - began)
            else:
                again[0] += 1
                while exporter.export(sent) is not SpanExportResult.SUCCESS:
                    time.sleep(PAUSE_S)
            spans.update({f"{span.context.span_id:016x}": span.start_time for span in sent})
            time.sleep(PAUSE_S)

    url = f"http://{http}/v1/traces"
    exporters = [
        (GrpcExporter(endpoint=grpc, insecure=True, timeout=timeout_s), 20),
        (
            GrpcExporter(
                endpoint=grpc, insecure=True, timeout=timeout_s, compression=GrpcCompression.Gzip
            ),
            200,
        ),
        (HttpExporter(endpoint=url, timeout=timeout_s), 20),
        (HttpExporter(endpoint=url, timeout=timeout_s, compression=Compression.Gzip), 200),
    ]
    threads = [threading.Thread(target=work, args=pair) for pair in exporters]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()
    json.dump({"spans": spans, "seconds": seconds, "again": again[0]}, sys.stdout)


if __name__ == "__main__":
    main()
