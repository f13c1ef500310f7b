-- Durations, and numbers among the attributes whose names end like a size or an order, by operation (stratum) and
-- outcome: how many uses lie in each bin. A bin is an eighth of a power of two of the absolute value, so its members
-- differ by less than 9.1 %. Beyond half a million uses, those of one hour in `every` are read; what is compared are
-- shares. Values are read only where one of the names is such a measure.
WITH {read_uses:With},
(
    SELECT arrayFilter(
        name -> match(name, '(size|length|bytes|count|items|rows|order|tokens|dimension)$'),
        groupUniqArrayArray(mapKeys(Attributes)))
    FROM read_uses
) AS measures
SELECT
    name AS key,
    stratum,
    if(number = 0, 0, sign(number) * (round(log2(abs(number)) * 8) + 1000)) AS bin,
    failed,
    count() AS arrivals,
    sum(weight) AS uses,
    sum(weight * weight) AS weight_squares
FROM
(
    SELECT 'duration' AS name, toNullable(Duration / 1000000000.) AS number, stratum, failed, weight
    FROM read_uses
    WHERE Kind != 'event'
    UNION ALL
    SELECT toString(measure) AS name, toFloat64OrNull(value) AS number, stratum, failed, weight
    FROM
    (
        SELECT stratum, failed, weight, mapKeys(Attributes) AS names, mapValues(Attributes) AS found
        FROM read_uses
        WHERE notEmpty(measures) AND hasAny(mapKeys(Attributes), measures)
    )
    ARRAY JOIN names AS measure, found AS value
    WHERE has(measures, measure)
)
WHERE isNotNull(number) AND isFinite(number)
GROUP BY key, stratum, bin, failed
