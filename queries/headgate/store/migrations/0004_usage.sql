-- Exact usage by minute, computed from all traffic before sampling; no personal data.
-- One row a service, operation, span kind, entry flag and outcome: Kind is the span kind ('Server', 'Client', ...)
-- or 'Event' for a named log event; Entry says that the row counts uses (server, consumer and root spans, named events).
-- Calls are arrivals, CallsAdjusted weighs each by what an upstream sampler recorded.
-- Durations are nanoseconds; DurationBuckets maps an exponential bucket of scale 5 to its count
-- (see headgate.store.histogram), so that percentiles can be read at a bounded error of 1.1 %.
CREATE TABLE IF NOT EXISTS usage_minute
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Operation LowCardinality(String) CODEC(ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
    Entry Bool CODEC(ZSTD(1)),
    Outcome LowCardinality(String) CODEC(ZSTD(1)),
    Calls SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    CallsAdjusted SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationSum SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationSumSquares SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationMin SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    DurationMax SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    DurationBuckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Time, 'UTC')
ORDER BY (ServiceName, Operation, Kind, Entry, Outcome, Time)
TTL Time + INTERVAL 3 DAY
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Usage by quarter of an hour, from which every time zone's hours and days can be formed.
CREATE TABLE IF NOT EXISTS usage_quarter
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Operation LowCardinality(String) CODEC(ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
    Entry Bool CODEC(ZSTD(1)),
    Outcome LowCardinality(String) CODEC(ZSTD(1)),
    Calls SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    CallsAdjusted SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationSum SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationSumSquares SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationMin SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    DurationMax SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    DurationBuckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(Time, 'UTC')
ORDER BY (ServiceName, Operation, Kind, Entry, Outcome, Time)
TTL Time + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Usage by day of UTC, for the long run.
CREATE TABLE IF NOT EXISTS usage_day
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Operation LowCardinality(String) CODEC(ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
    Entry Bool CODEC(ZSTD(1)),
    Outcome LowCardinality(String) CODEC(ZSTD(1)),
    Calls SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    CallsAdjusted SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationSum SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationSumSquares SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    DurationMin SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    DurationMax SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    DurationBuckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(Time, 'UTC')
ORDER BY (ServiceName, Operation, Kind, Entry, Outcome, Time)
TTL Time + INTERVAL 10 YEAR
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_quarter_mv TO usage_quarter AS
SELECT
    toStartOfFifteenMinutes(src.Time) AS Time,
    ServiceName,
    Operation,
    Kind,
    Entry,
    Outcome,
    sum(src.Calls) AS Calls,
    sum(src.CallsAdjusted) AS CallsAdjusted,
    sum(src.DurationSum) AS DurationSum,
    sum(src.DurationSumSquares) AS DurationSumSquares,
    min(src.DurationMin) AS DurationMin,
    max(src.DurationMax) AS DurationMax,
    sumMap(src.DurationBuckets) AS DurationBuckets
FROM usage_minute AS src
GROUP BY Time, ServiceName, Operation, Kind, Entry, Outcome;

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_day_mv TO usage_day AS
SELECT
    toStartOfDay(src.Time, 'UTC') AS Time,
    ServiceName,
    Operation,
    Kind,
    Entry,
    Outcome,
    sum(src.Calls) AS Calls,
    sum(src.CallsAdjusted) AS CallsAdjusted,
    sum(src.DurationSum) AS DurationSum,
    sum(src.DurationSumSquares) AS DurationSumSquares,
    min(src.DurationMin) AS DurationMin,
    max(src.DurationMax) AS DurationMax,
    sumMap(src.DurationBuckets) AS DurationBuckets
FROM usage_quarter AS src
GROUP BY Time, ServiceName, Operation, Kind, Entry, Outcome;
