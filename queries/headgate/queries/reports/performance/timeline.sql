-- How many timed uses of each period, of all operations, fell into each bucket of durations, as in buckets.sql.
SELECT
    period_s,
    bucket,
    sum(weight * n) AS calls,
    sum(weight * (weight - 1) * n) AS variance
FROM
(
    SELECT
        roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
        CallsAdjusted / Calls AS weight,
        sumMap(DurationBuckets) AS buckets
    FROM {usage:Identifier}
    WHERE Entry
        AND Kind != 'Event'
        AND Time >= {since:DateTime64(9, 'UTC')}
        AND Time < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
    GROUP BY period_s, weight
)
ARRAY JOIN mapKeys(buckets) AS bucket, mapValues(buckets) AS n
GROUP BY period_s, bucket
