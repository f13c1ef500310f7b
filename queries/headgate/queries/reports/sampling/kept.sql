-- The raw rows that were kept of each stratum, what they stand for, and the largest weight.
SELECT
    ServiceName AS service,
    Operation AS operation,
    Outcome AS outcome,
    count() AS arrivals,
    sum(Weight) AS calls,
    sum(Weight * (Weight - 1)) AS variance,
    sumIf(Weight, Weight > 1) AS drawn,
    sumForEach(arrayMap(sign -> sqrt(Weight * (Weight - 1)) * sign, Signs)) AS noise,
    max(Weight) AS largest,
    toFloat64(min(Duration)) AS shortest,
    toFloat64(max(Duration)) AS longest
FROM {kept:Identifier}
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation, outcome
