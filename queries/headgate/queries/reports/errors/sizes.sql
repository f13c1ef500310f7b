-- Durations, and numbers among the attributes whose names end like a size or an order, by outcome: how many uses lie
-- in each bin. A bin is an eighth of a power of two of the absolute value, so its members differ by less than 9.1 %.
-- Beyond half a million uses, those of one hour in `every` are read; what is compared are shares.
WITH (
    SELECT greatest(1, intDiv(sum(1), 500000))
    FROM {events:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
) AS every
SELECT
    toString(name) AS key,
    if(number = 0, 0, sign(number) * (round(log2(abs(number)) * 8) + 1000)) AS bin,
    failed,
    count() AS arrivals,
    sum(weight) AS uses,
    sum(weight * weight) AS weight_squares
FROM
(
    SELECT name, toFloat64OrNull(value) AS number, failed, weight
    FROM
    (
        SELECT
            Outcome != 'ok' AS failed,
            Weight * every AS weight,
            if(Kind = 'event', mapKeys(Attributes), arrayConcat(mapKeys(Attributes), [toLowCardinality('duration')]))
                AS names,
            if(Kind = 'event', mapValues(Attributes), arrayConcat(mapValues(Attributes), [toString(Duration / 1000000000.)]))
                AS found
        FROM {events:Identifier}
        WHERE intHash64(intDiv(toUnixTimestamp(Timestamp), 3600)) % every = 0
            AND Timestamp >= {since:DateTime64(9, 'UTC')}
            AND Timestamp < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
    )
    ARRAY JOIN names AS name, found AS value
    WHERE match(name, '(size|length|bytes|count|items|rows|order|tokens|dimension|^duration)$')
)
WHERE isNotNull(number) AND isFinite(number)
GROUP BY key, bin, failed
