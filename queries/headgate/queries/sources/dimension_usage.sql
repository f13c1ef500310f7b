-- Exact usage by a dimension in the shape of usage_minute: the dimension's value in the place of the operation.
SELECT
    Time,
    ServiceName,
    Value AS Operation,
    Kind,
    true AS Entry,
    Outcome,
    Calls,
    CallsAdjusted,
    DurationSum,
    DurationSumSquares,
    DurationMin,
    DurationMax,
    DurationBuckets,
    CAST([], 'Array(Float64)') AS Noise
FROM {dimension_table:Identifier}
WHERE Dimension = {by:String}
