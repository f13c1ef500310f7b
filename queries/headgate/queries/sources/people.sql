-- Who used what in the window: by whole days of UTC, and by the hours before and after them. Days have fewer rows:
-- whoever comes back the same day is one row there. A row that holds the window's begin counts as beginning with it;
-- those are read apart, so that no time is computed for all others. Times are compared as the whole seconds that they
-- are: comparing each with nanoseconds takes longer than reading it.
SELECT Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_day
WHERE Time >= greatest({days_since:DateTime('UTC')}, toDateTime({since:DateTime64(9, 'UTC')}, 'UTC'))
    AND Time < {days_until:DateTime('UTC')}
UNION ALL
SELECT Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_hour
WHERE Time >= greatest({users_since:DateTime('UTC')}, toDateTime({since:DateTime64(9, 'UTC')}, 'UTC'))
    AND Time < {users_until:DateTime('UTC')}
    AND (Time < {days_since:DateTime('UTC')} OR Time >= {days_until:DateTime('UTC')})
UNION ALL
SELECT toDateTime({since:DateTime64(9, 'UTC')}, 'UTC') AS Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_day AS counted
WHERE counted.Time >= {days_since:DateTime('UTC')}
    AND counted.Time < least({days_until:DateTime('UTC')}, toDateTime({since:DateTime64(9, 'UTC')}, 'UTC'))
UNION ALL
SELECT toDateTime({since:DateTime64(9, 'UTC')}, 'UTC') AS Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_hour AS counted
WHERE counted.Time >= {users_since:DateTime('UTC')}
    AND counted.Time < least({users_until:DateTime('UTC')}, toDateTime({since:DateTime64(9, 'UTC')}, 'UTC'))
    AND (counted.Time < {days_since:DateTime('UTC')} OR counted.Time >= {days_until:DateTime('UTC')})
