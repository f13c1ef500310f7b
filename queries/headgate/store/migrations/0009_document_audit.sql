-- Versioned JSON documents: what was saved about a thing of some kind ('sampling', a report, a dashboard, an alert rule).
-- The highest Version holds, by the time of saving where two are the same; Deleted says that the thing is gone since.
CREATE TABLE IF NOT EXISTS document
(
    Kind LowCardinality(String) CODEC(ZSTD(1)),
    Name String CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    SavedAt DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    SavedBy String CODEC(ZSTD(1)),
    Deleted Bool CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (Kind, Name, Version)
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 1000;

-- Who did what when: each change, and what was asked for and taken out. Detail is JSON.
CREATE TABLE IF NOT EXISTS audit
(
    Time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    Actor String CODEC(ZSTD(1)),
    Action LowCardinality(String) CODEC(ZSTD(1)),
    Object String CODEC(ZSTD(1)),
    Rows UInt64 CODEC(T64, ZSTD(1)),
    DurationMs Float64 CODEC(ZSTD(1)),
    Detail String CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Time, 'UTC')
ORDER BY Time
TTL toDateTime(Time, 'UTC') + INTERVAL 400 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
