-- How many timed uses fell into each bucket of durations (headgate.store.histogram), and their sum of w (w - 1).
SELECT
    service,
    operation,
    bucket,
    sum(weight * n) AS calls,
    sum(weight * (weight - 1) * n) AS variance
FROM
(
    SELECT
        ServiceName AS service,
        Operation AS operation,
        CallsAdjusted / Calls AS weight,
        sumMap(DurationBuckets) AS buckets
    FROM {usage:Identifier}
    WHERE Entry
        AND Kind != 'Event'
        AND Time >= {since:DateTime64(9, 'UTC')}
        AND Time < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
    GROUP BY service, operation, weight
)
ARRAY JOIN mapKeys(buckets) AS bucket, mapValues(buckets) AS n
GROUP BY service, operation, bucket
