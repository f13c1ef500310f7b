-- Exact usage by dimension, computed from all traffic before sampling; no personal data.
-- One row a dimension, value, service, kind and outcome in a quarter of an hour. A dimension is a name that the
-- settings give to one or several attributes (`project`, `endpoint`, ...). Only uses are counted (entry spans, tracked
-- calls, named events), each once for every dimension that it has a value of: rows of different dimensions must not be
-- added up, and what has no value of a dimension is not in it. Values beyond the settings' limit are counted as
-- '__other__'. Kind is the span kind ('Server', 'Internal', ...) or 'Event'. The measures are those of usage_minute.
CREATE TABLE IF NOT EXISTS dimension_quarter
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    Dimension LowCardinality(String) CODEC(ZSTD(1)),
    Value LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
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
ORDER BY (Dimension, Value, ServiceName, Kind, Outcome, Time)
TTL Time + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Usage by dimension and day of UTC, for the long run.
CREATE TABLE IF NOT EXISTS dimension_day
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    Dimension LowCardinality(String) CODEC(ZSTD(1)),
    Value LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
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
ORDER BY (Dimension, Value, ServiceName, Kind, Outcome, Time)
TTL Time + INTERVAL 730 DAY
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS dimension_day_mv TO dimension_day AS
SELECT
    toStartOfDay(src.Time, 'UTC') AS Time,
    Dimension,
    Value,
    ServiceName,
    Kind,
    Outcome,
    sum(src.Calls) AS Calls,
    sum(src.CallsAdjusted) AS CallsAdjusted,
    sum(src.DurationSum) AS DurationSum,
    sum(src.DurationSumSquares) AS DurationSumSquares,
    min(src.DurationMin) AS DurationMin,
    max(src.DurationMax) AS DurationMax,
    sumMap(src.DurationBuckets) AS DurationBuckets
FROM dimension_quarter AS src
GROUP BY Time, Dimension, Value, ServiceName, Kind, Outcome;
