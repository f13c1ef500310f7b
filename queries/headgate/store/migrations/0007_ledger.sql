-- What came in and what became of it: Received = Stored + SampledOut + Rejected + Duplicate, in items and in bytes.
-- Time is the minute of arrival; Signal is 'traces', 'metrics' or 'logs'.
CREATE TABLE IF NOT EXISTS ledger
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    Signal LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Received SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Stored SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    SampledOut SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Rejected SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Duplicate SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ReceivedBytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    StoredBytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    SampledOutBytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    RejectedBytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    DuplicateBytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(Time, 'UTC')
ORDER BY (Signal, ServiceName, Time)
TTL Time + INTERVAL 400 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
