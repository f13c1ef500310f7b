-- Raw rows do not tell what a sampler decided: a history without entries.
SELECT
    toDateTime64(0, 9, 'UTC') AS Time,
    toDateTime64(0, 9, 'UTC') AS TimeEnd,
    '' AS Signal,
    0. AS Low,
    0. AS High,
    0. AS Rate,
    0. AS RowsBudget,
    0. AS WindowRequests,
    0. AS Probability,
    0. AS LeastProbability,
    toUInt64(0) AS Requests,
    0. AS ExpectedRequests,
    toUInt64(0) AS KeptRequests,
    toUInt64(0) AS Rows,
    toDateTime64(0, 9, 'UTC') AS EventsFrom,
    toDateTime64(0, 9, 'UTC') AS EventsTo
WHERE false
