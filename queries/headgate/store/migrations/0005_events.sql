-- One row a use: an entry span (server, consumer or root), a tracked call, a named log event.
-- Kind is 'span' or 'event'; Operation is the span's or the event's name; UserHash is xxHash64(UserId), 0 for nobody;
-- Fingerprint groups the same error with other ids (headgate.store.fingerprint), 0 where nothing failed.
CREATE TABLE IF NOT EXISTS events
(
    Timestamp DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Operation LowCardinality(String) CODEC(ZSTD(1)),
    Outcome LowCardinality(String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    UserId String CODEC(ZSTD(1)),
    UserHash UInt64 CODEC(ZSTD(1)),
    SessionId String CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    Fingerprint UInt64 CODEC(ZSTD(1)),
    ErrorType LowCardinality(String) CODEC(ZSTD(1)),
    ErrorMessage String CODEC(ZSTD(1)),
    Value Nullable(Float64) CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Weight Float64 DEFAULT 1 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp, 'UTC')
ORDER BY (ServiceName, Operation, Timestamp)
TTL toDateTime(Timestamp, 'UTC') + INTERVAL 90 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
