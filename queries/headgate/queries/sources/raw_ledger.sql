-- Raw rows do not tell what else came in: a ledger without entries.
SELECT
    toDateTime(0, 'UTC') AS Time,
    '' AS Signal,
    '' AS ServiceName,
    toUInt64(0) AS Received,
    toUInt64(0) AS Stored,
    toUInt64(0) AS SampledOut,
    toUInt64(0) AS Rejected,
    toUInt64(0) AS Duplicate
WHERE false
