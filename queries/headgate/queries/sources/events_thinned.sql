-- A row where some people's uses were left out of events in the window.
SELECT 1
FROM sampling_history
WHERE Signal = 'events'
    AND EventsThreshold > 0
    AND EventsFrom < {until:DateTime64(9, 'UTC')}
    AND EventsTo >= {since:DateTime64(9, 'UTC')}
LIMIT 1
