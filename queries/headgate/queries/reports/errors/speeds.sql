-- Timed uses by speed class and outcome: below 0.1 s, below 1 s, and slower; beyond half a million uses, those of one
-- hour in `every`, weighted.
WITH {some_hours:With}
SELECT
    multiIf(Duration < 100000000, 'fast', Duration < 1000000000, 'medium', 'slow') AS speed,
    Outcome != 'ok' AS failed,
    count() AS arrivals,
    sum(Weight * every) AS uses,
    sum(Weight * every * Weight * every) AS weight_squares
FROM {events:Identifier}
WHERE Kind != 'event'
    AND toStartOfHour(Timestamp, 'UTC') IN hours
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY speed, failed
