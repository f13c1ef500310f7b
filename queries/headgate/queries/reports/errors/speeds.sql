-- Timed uses by speed class and outcome: below 0.1 s, below 1 s, and slower; beyond half a million uses, those of one
-- hour in `every`, weighted.
WITH {read_uses:With}
SELECT
    multiIf(Duration < 100000000, 'fast', Duration < 1000000000, 'medium', 'slow') AS speed,
    failed,
    count() AS arrivals,
    sum(weight) AS uses,
    sum(weight * weight) AS weight_squares
FROM read_uses
WHERE Kind != 'event'
GROUP BY speed, failed
