-- How often each value of a resource's attributes is found among failures and among successes of each operation (stratum),
-- in the raw spans that were kept, as stored uses do not know their resource; the rows with an empty key count all of
-- them. Few resources have many spans, so that spans are first counted by resource. Beyond most_uses spans those of one
-- hour in `every` are read. Only values that at least three failures have are compared.
WITH (
    SELECT greatest(1, intDiv(sum(1), {most_uses:UInt64}))
    FROM {spans:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
) AS every,
{hours_of:With}
SELECT well, stratum, key, value, seen AS arrivals, uses, weight_squares
FROM
(
    SELECT
        well,
        stratum,
        toString(name) AS key,
        found AS value,
        sum(arrivals) AS seen,
        sum(w) AS uses,
        sum(ww) AS weight_squares,
        sum(if(well, 0, sum(arrivals))) OVER (PARTITION BY key, value) AS failures
    FROM
    (
        SELECT
            NOT Failed AS well,
            cityHash64(ServiceName, Operation) AS stratum,
            mapKeys(any(Resource)) AS names,
            mapValues(any(Resource)) AS values,
            count() AS arrivals,
            sum(Weight * every) AS w,
            sum(Weight * every * Weight * every) AS ww
        FROM {kept:Identifier}
        WHERE toStartOfHour(Timestamp, 'UTC') IN hours
            AND Timestamp >= {since:DateTime64(9, 'UTC')}
            AND Timestamp < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({only_operation:String} = '' OR Operation = {only_operation:String})
        GROUP BY well, stratum, cityHash64(mapKeys(Resource), mapValues(Resource))
    )
    ARRAY JOIN
        arrayConcat(names, [toLowCardinality('')]) AS name,
        arrayConcat(values, ['']) AS found
    WHERE NOT match(name, '^(user\\.|enduser\\.|session\\.|service\\.name$)')
    GROUP BY well, stratum, key, value
)
WHERE key = '' OR failures >= 3
ORDER BY key = '' DESC, failures DESC, key, value, stratum, well
LIMIT 20000
