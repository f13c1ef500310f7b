-- Uses of the window that arrived over an hour after they happened: those of stretches of time that had ended by then.
SELECT
    sum(Rows) AS arrivals,
    sumIf(Rows, EventsTo < Time - INTERVAL 1 HOUR) AS late
FROM {decisions:Identifier}
WHERE Signal = 'events'
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND EventsTo >= {since:DateTime64(9, 'UTC')}
    AND EventsFrom < {until:DateTime64(9, 'UTC')}
