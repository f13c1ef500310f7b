-- How often each attribute value that at least three failures have is found among failures (by fingerprint) and among
-- successes (fingerprint 0); the rows with an empty key count all of them. Beyond half a million uses, those of one hour
-- in `every` are compared, failures and successes of the same hours, which their weight corrects. Attributes that say
-- how a call ended, or whose it was, are left out.
WITH (
    SELECT greatest(1, intDiv(sum(1), 500000))
    FROM {events:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
) AS every
SELECT fingerprint, fingerprint = 0 AS well, key, value, arrivals, uses, weight_squares
FROM
(
    SELECT
        key,
        value,
        sumMap(map(kind, toUInt64(1))) AS of_arrivals,
        sumMap(map(kind, weight)) AS of_uses,
        sumMap(map(kind, weight * weight)) AS of_squares
    FROM
    (
        SELECT
            if(Outcome = 'ok', 0, greatest(Fingerprint, 1)) AS kind,
            Weight * every AS weight,
            arrayConcat(mapKeys(Attributes), [toLowCardinality('operation'), toLowCardinality('')]) AS keys,
            arrayConcat(mapValues(Attributes), [concat(ServiceName, ' ', Operation), '']) AS found
        FROM {events:Identifier}
        WHERE intHash64(intDiv(toUnixTimestamp(Timestamp), 3600)) % every = 0
            AND Timestamp >= {since:DateTime64(9, 'UTC')}
            AND Timestamp < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
    )
    ARRAY JOIN keys AS key, found AS value
    WHERE NOT match(key, '^(error\\.|exception\\.|otel\\.|http\\.(response\\.)?status_code$|rpc\\.grpc\\.status_code$)')
        AND NOT match(key, '^(user\\.|enduser\\.|session\\.|headgate\\.event\\.id$|headgate\\.track$)')
    GROUP BY key, value
    HAVING key = '' OR countIf(kind != 0) >= 3
    ORDER BY key = '' DESC, countIf(kind != 0) DESC, key, value
    LIMIT 1001
)
ARRAY JOIN
    mapKeys(of_arrivals) AS fingerprint,
    mapValues(of_arrivals) AS arrivals,
    mapValues(of_uses) AS uses,
    mapValues(of_squares) AS weight_squares
