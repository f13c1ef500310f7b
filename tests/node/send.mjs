// Sends spans with OpenTelemetry's JavaScript SDK to the OTLP/HTTP address given, once in each encoding, plain and
// compressed, and prints what the SDK says it has sent: one JSON object a span. Exits with 1 when an export failed.

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, createTraceState, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const address = process.argv[2];

const attributes = {
  "is.string": "naïve ☃",
  "is.empty": "",
  "is.true": true,
  "is.false": false,
  "is.int": -42,
  "is.large": Number.MAX_SAFE_INTEGER,
  "is.double": 0.25,
  "is.strings": ["a", "b"],
  "is.numbers": [1, 2.5],
  "is.bools": [true, false],
};

const upstream = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "00f067aa0ba902b7",
  traceFlags: TraceFlags.SAMPLED,
  traceState: createTraceState("ot=th:8;rv:ffffffffffffff,vendor=a:b"),
  isRemote: true,
};

// Remembers what passes to the exporter, and whether all of it arrived.
class Recording {
  constructor(exporter) {
    this.exporter = exporter;
    this.spans = [];
    this.failures = [];
  }

  export(spans, done) {
    this.spans.push(...spans);
    this.exporter.export(spans, (result) => {
      if (result.code !== 0) this.failures.push(String(result.error));
      done(result);
    });
  }

  forceFlush() {
    return this.exporter.forceFlush();
  }

  shutdown() {
    return this.exporter.shutdown();
  }
}

const ns = ([seconds, rest]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(rest));

const described = (span) => ({
  resource: span.resource.attributes,
  scope: span.instrumentationScope,
  traceId: span.spanContext().traceId,
  spanId: span.spanContext().spanId,
  parentSpanId: span.parentSpanContext?.spanId ?? "",
  traceState: span.spanContext().traceState?.serialize() ?? "",
  name: span.name,
  kind: SpanKind[span.kind],
  start: ns(span.startTime),
  end: ns(span.endTime),
  attributes: span.attributes,
  status: SpanStatusCode[span.status.code],
  message: span.status.message ?? "",
  events: span.events.map((event) => ({ ...event, time: ns(event.time) })),
  links: span.links.map((link) => ({
    ...link.context,
    traceState: link.context.traceState?.serialize() ?? "",
    attributes: link.attributes ?? {},
  })),
});

async function send(service, exporter) {
  const recording = new Recording(exporter);
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": service, ...attributes }),
    spanProcessors: [new BatchSpanProcessor(recording)],
  });
  const tracer = provider.getTracer("scope", "1.2");
  const parent = trace.setSpanContext(ROOT_CONTEXT, upstream);
  const server = tracer.startSpan("GET /cart", { kind: SpanKind.SERVER, attributes }, parent);
  server.addEvent("first", attributes);
  server.addEvent("second");
  server.setStatus({ code: SpanStatusCode.OK });
  for (const kind of [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER]) {
    tracer.startSpan(SpanKind[kind].toLowerCase(), { kind }, trace.setSpan(ROOT_CONTEXT, server)).end();
  }
  const failing = tracer.startSpan("fails", {
    links: [{ context: upstream, attributes }, { context: server.spanContext() }],
    root: true,
  });
  failing.recordException(new RangeError("no such cart"));
  failing.setStatus({ code: SpanStatusCode.ERROR, message: "no such cart" });
  failing.end();
  server.end();
  await provider.forceFlush();
  await provider.shutdown();
  for (const span of recording.spans) console.log(JSON.stringify(described(span)));
  for (const failure of recording.failures) console.error(`${service}: ${failure}`);
  if (recording.failures.length > 0) process.exitCode = 1;
}

const exporters = { json: JsonExporter, proto: ProtobufExporter };
for (const [encoding, Exporter] of Object.entries(exporters)) {
  for (const compression of ["none", "gzip"]) {
    await send(`node-${encoding}-${compression}`, new Exporter({ url: `http://${address}/v1/traces`, compression }));
  }
}
