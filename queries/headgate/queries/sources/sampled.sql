-- By how much events of the window were thinned (the largest threshold, 0 where all people were kept), and whether any
-- use of it stands for others that a sampler before us dropped.
SELECT
    (
        SELECT max(EventsThreshold)
        FROM sampling_history
        WHERE Signal = 'events'
            AND EventsFrom < {until:DateTime64(9, 'UTC')}
            AND EventsTo >= {since:DateTime64(9, 'UTC')}
    ) AS threshold,
    (
        SELECT sum(CallsAdjusted) > sum(Calls)
        FROM {usage:Identifier}
        WHERE Time >= {since:DateTime64(9, 'UTC')}
            AND Time < {until:DateTime64(9, 'UTC')}
    ) AS weighted
