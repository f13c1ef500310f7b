-- Durations, and numbers among the attributes whose names end like a size or an order, by outcome: how many uses lie
-- in each bin. A bin is an eighth of a power of two of the absolute value, so its members differ by less than 9.1 %.
SELECT
    key,
    if(number = 0, 0, sign(number) * (round(log2(abs(number)) * 8) + 1000)) AS bin,
    Outcome != 'ok' AS failed,
    count() AS arrivals,
    sum(Weight) AS uses,
    sum(Weight * Weight) AS weight_squares
FROM {events:Identifier}
ARRAY JOIN
    arrayConcat(
        ['duration'],
        arrayFilter(k -> match(k, '(size|length|bytes|count|items|rows|order|tokens|dimension)$'),
            mapKeys(Attributes)::Array(String))) AS key,
    arrayConcat(
        [Duration / 1000000000.],
        arrayMap(v -> toFloat64OrNull(v), mapValues(mapFilter(
            (k, v) -> match(k, '(size|length|bytes|count|items|rows|order|tokens|dimension)$'), Attributes)))) AS number
WHERE isNotNull(number)
    AND isFinite(number)
    AND NOT (key = 'duration' AND Kind = 'event')
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY key, bin, failed
