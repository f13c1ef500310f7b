-- What sampling did: one row a signal ('traces', 'logs'; unnamed records only) and portion of a segment, and for 'events'
-- one a portion and stretch of event time. Time to TimeEnd is when the rows arrived; Collector names the sampler.
-- Low, High, Rate and RowsBudget are the law in force (requests a minute, probability, rows a minute), this collector's share
-- of it: one of Collectors. WindowRequests and WindowRows are what the last 60 seconds counted, Probability is what the law
-- makes of them, Cap the fair share of a stratum in requests a minute (infinite: everything is kept), LeastProbability
-- that of the trace least likely to be kept. Requests and Rows arrived, Expected... were expected to be kept, Kept... were.
-- Events: a row is kept if the low 56 bits of `events.Person` are at least EventsThreshold, for rows whose Timestamp is within
-- EventsFrom to EventsTo, both included. A window's rows, thinned to the largest EventsThreshold of all rows here that meet
-- the window, are an exact Bernoulli sample of people with p = 1 - T / 2^56, rows that arrived late included.
-- Strata: the busiest of the segment, their names as JSON arrays of the values of StrataBy; '' is all others together.
CREATE TABLE IF NOT EXISTS sampling_history
(
    Time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    TimeEnd DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    Collector LowCardinality(String) CODEC(ZSTD(1)),
    Signal LowCardinality(String) CODEC(ZSTD(1)),
    Low Float64 CODEC(ZSTD(1)),
    High Float64 CODEC(ZSTD(1)),
    Rate Float64 CODEC(ZSTD(1)),
    RowsBudget Float64 CODEC(ZSTD(1)),
    Collectors UInt32 CODEC(ZSTD(1)),
    WindowRequests Float64 CODEC(ZSTD(1)),
    WindowRows Float64 CODEC(ZSTD(1)),
    Probability Float64 CODEC(ZSTD(1)),
    Cap Float64 CODEC(ZSTD(1)),
    LeastProbability Float64 CODEC(ZSTD(1)),
    Requests UInt64 CODEC(T64, ZSTD(1)),
    Rows UInt64 CODEC(T64, ZSTD(1)),
    ExpectedRequests Float64 CODEC(ZSTD(1)),
    ExpectedRows Float64 CODEC(ZSTD(1)),
    KeptRequests UInt64 CODEC(T64, ZSTD(1)),
    KeptRows UInt64 CODEC(T64, ZSTD(1)),
    EventsThreshold UInt64 CODEC(ZSTD(1)),
    EventsFrom DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    EventsTo DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    StrataBy LowCardinality(String) CODEC(ZSTD(1)),
    Strata Nested
    (
        Name LowCardinality(String),
        Requests UInt64,
        Expected Float64,
        Kept UInt64
    ) CODEC(ZSTD(1)),
    WrittenAt DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1)),
    INDEX idx_written WrittenAt TYPE minmax GRANULARITY 1,
    INDEX idx_events (EventsFrom, EventsTo) TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(Time, 'UTC')
ORDER BY (Signal, Time)
TTL toDateTime(Time, 'UTC') + INTERVAL 400 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- UpstreamWeight is how many uses a row stands for by what was sampled before it came to us; Weight is that times
-- 2^56 / (2^56 - T), T being the threshold of `sampling_history` at its time. Person is who is kept or thinned as one.
ALTER TABLE events ADD COLUMN IF NOT EXISTS UpstreamWeight Float64 DEFAULT 1 CODEC(ZSTD(1));

ALTER TABLE events ADD COLUMN IF NOT EXISTS Person UInt64 ALIAS multiIf(
    UserHash != 0, UserHash,
    SessionId != '', xxHash64(SessionId),
    length(TraceId) = 32, intHash64(reinterpretAsUInt64(reverse(unhex(substring(TraceId, 17))))),
    intHash64(toUnixTimestamp64Nano(Timestamp)));

-- Weight of a log record, from the attribute that takes the place of `ot=th:` (see otel_traces).
ALTER TABLE otel_logs ADD COLUMN IF NOT EXISTS Weight Float64 DEFAULT
    72057594037927936. / (72057594037927936 - reinterpretAsUInt64(reverse(unhex(concat('00', rightPad(
        extract(LogAttributes['sampling.threshold'], '^([0-9a-f]{1,14})$'), 14, '0')))))) CODEC(ZSTD(1));
