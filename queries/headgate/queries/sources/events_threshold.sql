-- The largest threshold by which events of the window were thinned; 0 where all people were kept.
SELECT max(EventsThreshold) AS threshold
FROM sampling_history
WHERE Signal = 'events'
    AND EventsFrom < {until:DateTime64(9, 'UTC')}
    AND EventsTo >= {since:DateTime64(9, 'UTC')}
