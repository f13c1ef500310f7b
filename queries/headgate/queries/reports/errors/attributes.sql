-- How often each attribute value that at least three failures have is found among failures (by fingerprint) and among
-- successes (fingerprint 0); the row with an empty key counts all of them. Successes beyond a million are thinned by
-- their ids, which their weight corrects. Attributes that say how a call ended, or whose it was, are left out.
WITH
    (
        SELECT greatest(1, intDiv(sum(1), 1000000))
        FROM {events:Identifier}
        WHERE Outcome = 'ok'
            AND Timestamp >= {since:DateTime64(9, 'UTC')}
            AND Timestamp < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
    ) AS every,
    '^(error\\.|exception\\.|otel\\.|http\\.(response\\.)?status_code$|rpc\\.grpc\\.status_code$|user\\.|enduser\\.|session\\.|headgate\\.event\\.id$|headgate\\.track$)'
        AS of_the_ending,
    mapConcat(
        mapFilter((k, v) -> NOT match(k, of_the_ending), Attributes::Map(String, String)),
        map('', '', 'operation', concat(ServiceName, ' ', Operation))) AS told
SELECT
    fingerprint,
    well,
    key,
    value,
    count() AS arrivals,
    sum(weight) AS uses,
    sum(weight * weight) AS weight_squares
FROM
(
    SELECT
        if(Outcome = 'ok', 0, Fingerprint) AS fingerprint,
        Outcome = 'ok' AS well,
        if(well, Weight * every, Weight) AS weight,
        mapKeys(told) AS keys,
        mapValues(told) AS found
    FROM {events:Identifier}
    WHERE (Outcome != 'ok' OR cityHash64(TraceId, SpanId, Timestamp) % every = 0)
        AND Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
)
ARRAY JOIN keys AS key, found AS value
WHERE (key, value) IN (
    SELECT key, value
    FROM
    (
        SELECT mapKeys(told) AS keys, mapValues(told) AS found
        FROM {events:Identifier}
        WHERE Outcome != 'ok'
            AND Timestamp >= {since:DateTime64(9, 'UTC')}
            AND Timestamp < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
    )
    ARRAY JOIN keys AS key, found AS value
    GROUP BY key, value
    HAVING key = '' OR sum(1) >= 3
    ORDER BY key = '' DESC, sum(1) DESC, key, value
    LIMIT 1000)
GROUP BY fingerprint, well, key, value
