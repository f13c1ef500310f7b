-- How many uses the kept rows of each operation stand for in each bucket of durations (headgate.store.histogram).
SELECT
    ServiceName AS service,
    Operation AS operation,
    toInt16(if(Duration = 0, -32768, ceil(log2(toFloat64(Duration)) * 32) - 1)) AS bucket,
    sum(Weight) AS calls,
    sum(Weight * (Weight - 1)) AS variance
FROM {kept:Identifier}
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation, bucket
