-- Who used what in which hour, exactly: narrow rows from which distinct users, retention and lifecycle
-- are counted. Sum Calls and Errors: rows of one key are merged in the background.
CREATE TABLE IF NOT EXISTS user_hour
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Operation LowCardinality(String) CODEC(ZSTD(1)),
    UserHash UInt64 CODEC(ZSTD(1)),
    Calls UInt64 CODEC(T64, ZSTD(1)),
    Errors UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = SummingMergeTree((Calls, Errors))
PARTITION BY toDate(Time, 'UTC')
ORDER BY (ServiceName, Operation, Time, UserHash)
TTL Time + INTERVAL 35 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Who used what on which day of UTC.
CREATE TABLE IF NOT EXISTS user_day
(
    Time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Operation LowCardinality(String) CODEC(ZSTD(1)),
    UserHash UInt64 CODEC(ZSTD(1)),
    Calls UInt64 CODEC(T64, ZSTD(1)),
    Errors UInt64 CODEC(T64, ZSTD(1))
)
ENGINE = SummingMergeTree((Calls, Errors))
PARTITION BY toYYYYMM(Time, 'UTC')
ORDER BY (ServiceName, Operation, Time, UserHash)
TTL Time + INTERVAL 400 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS user_day_mv TO user_day AS
SELECT
    toStartOfDay(src.Time, 'UTC') AS Time,
    ServiceName,
    Operation,
    UserHash,
    sum(src.Calls) AS Calls,
    sum(src.Errors) AS Errors
FROM user_hour AS src
GROUP BY Time, ServiceName, Operation, UserHash;

-- First and last use of each user; a user expires by the last.
CREATE TABLE IF NOT EXISTS user_seen
(
    UserHash UInt64 CODEC(ZSTD(1)),
    FirstSeen SimpleAggregateFunction(min, DateTime('UTC')) CODEC(ZSTD(1)),
    LastSeen SimpleAggregateFunction(max, DateTime('UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY UserHash
TTL LastSeen + INTERVAL 400 DAY
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 1000;
