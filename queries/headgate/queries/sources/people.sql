-- Who used what, and who had before the window: by whole days of UTC, and by the hours of the window before and after
-- them. Days have fewer rows: whoever comes back the same day is one row there.
SELECT Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_day
WHERE Time < {days_until:DateTime64(9, 'UTC')}
UNION ALL
SELECT Time, ServiceName, Operation, UserHash, Calls, Errors
FROM user_hour
WHERE Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND (Time < {days_since:DateTime64(9, 'UTC')} OR Time >= {days_until:DateTime64(9, 'UTC')})
