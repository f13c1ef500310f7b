-- Who used what in the window (people), and who had before it, by days of UTC.
SELECT Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_day
WHERE Time < {days_since:DateTime64(9, 'UTC')}
UNION ALL
SELECT Time, ServiceName, Operation, UserHash, Calls, Errors
FROM people
