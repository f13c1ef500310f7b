-- Raw uses in the shape of user_hour.
SELECT
    min(Timestamp) AS Time,
    ServiceName,
    Operation,
    xxHash64(UserId) AS UserHash,
    count() AS Calls,
    countIf(Outcome != 'ok') AS Errors
FROM uses
WHERE UserId != ''
GROUP BY toStartOfHour(Timestamp), ServiceName, Operation, UserHash
