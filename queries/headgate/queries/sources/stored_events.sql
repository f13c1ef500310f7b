-- Stored uses in the shape of events.
SELECT
    * EXCEPT (Resource, Signs),
    if(UserId = '', 0, xxHash64(UserId)) AS UserHash,
    notEmpty(SessionId) AS HasSession,
    arrayMap(sign -> sqrt(Weight * (Weight - 1)) * sign, Signs) AS Noise
FROM uses
