-- Events of the window where nothing was sampled, here or before: each stands for itself, so that nobody's id and no
-- trace's need be read to know whether a row counts and for how much.
SELECT
    * EXCEPT (Weight),
    1. AS Weight,
    toUInt64(0) AS Draw,
    notEmpty(SessionId) AS HasSession,
    CAST([], 'Array(Float64)') AS Noise
FROM events
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
