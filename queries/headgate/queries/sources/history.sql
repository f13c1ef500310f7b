-- Who used what in the window (people), and who had on a day of UTC before its first, at whatever time (0).
SELECT toDateTime(0, 'UTC') AS Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_day AS counted
WHERE counted.Time < least({days_since:DateTime('UTC')},
    toStartOfDay(toDateTime({since:DateTime64(9, 'UTC')}, 'UTC'), 'UTC'))
UNION ALL
SELECT Time, ServiceName, Operation, UserHash, Calls, Errors
FROM people
