-- Spans. Names, types and keys are those of the OpenTelemetry ClickHouse exporter; Weight is ours.
-- Duration is in nanoseconds. Weight is how many spans a row stands for: the adjusted count of `ot=th:`
-- in the trace state (OpenTelemetry tracestate probability sampling), 2^56 / (2^56 - T), T given as 1 to
-- 14 lower-case hex digits with trailing zeros dropped; 1 where there is no threshold or a malformed one.
-- The difference is taken in integers: T above 2^53 does not fit a Float64.
CREATE TABLE IF NOT EXISTS otel_traces
(
    Timestamp DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested
    (
        Timestamp DateTime64(9, 'UTC'),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested
    (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Weight Float64 DEFAULT 72057594037927936. / (72057594037927936 - reinterpretAsUInt64(reverse(unhex(concat('00', rightPad(
        extract(TraceState, '(?:^|,)[ \\t]*ot=(?:[^,;]*;)*th:([0-9a-f]{1,14})[ \\t]*(?:[;,]|$)'),
        14, '0')))))) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp, 'UTC')
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp, 'UTC'))
TTL toDateTime(Timestamp, 'UTC') + INTERVAL 7 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Where in time a trace lies, so that reading one trace by id opens few parts.
CREATE TABLE IF NOT EXISTS otel_traces_trace_id_ts
(
    TraceId String CODEC(ZSTD(1)),
    Start DateTime('UTC') CODEC(Delta, ZSTD(1)),
    End DateTime('UTC') CODEC(Delta, ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Start, 'UTC')
ORDER BY (TraceId, Start)
TTL Start + INTERVAL 7 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts AS
SELECT
    TraceId,
    toDateTime(min(Timestamp), 'UTC') AS Start,
    toDateTime(max(Timestamp), 'UTC') AS End
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId;
