-- Raw uses in the shape of usage_minute. Rows of one weight share a row, so CallsAdjusted / Calls is that weight;
-- Noise is what says how sure the count is (headgate.queries.estimate.noise); empty for rows that were surely kept.
-- Time is the first use of its quarter of an hour, so that a window need not begin with a whole one.
SELECT
    min(Timestamp) AS Time,
    ServiceName,
    Operation,
    if(any(Kind) = 'event', 'Event', 'Span') AS Kind,
    true AS Entry,
    Outcome,
    count() AS Calls,
    count() * any(Weight) AS CallsAdjusted,
    sum(toFloat64(Duration)) AS DurationSum,
    sum(toFloat64(Duration) * toFloat64(Duration)) AS DurationSumSquares,
    min(Duration) AS DurationMin,
    max(Duration) AS DurationMax,
    sumMap(map(
        toInt16(if(Duration = 0, -32768, ceil(log2(toFloat64(Duration)) * 32) - 1)), toUInt64(1)
    )) AS DurationBuckets,
    arrayMap(sign -> sqrt(any(Weight) * (any(Weight) - 1)) * sign, sumForEach(Signs)) AS Noise
FROM uses
GROUP BY toStartOfFifteenMinutes(Timestamp), ServiceName, Operation, uses.Kind, Outcome, uses.Weight
