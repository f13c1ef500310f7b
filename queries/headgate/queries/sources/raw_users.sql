-- Raw uses in the shape of user_hour, one row each.
SELECT
    Timestamp AS Time,
    ServiceName,
    Operation,
    UserHash,
    toUInt64(1) AS Calls,
    toUInt64(Outcome != 'ok') AS Errors
FROM uses
WHERE UserHash != 0
