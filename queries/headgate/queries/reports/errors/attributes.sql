-- How often each attribute value that at least three failures have is found among failures (by fingerprint) and among
-- successes (fingerprint 0) of each operation (stratum); the rows with an empty key count all of them. Attributes that say how a call ended, or whose
-- it was, are left out; instead rows with coded = 1 count failures by the code that they ended with. Beyond half a million
-- uses, those of one hour in `every` are compared, failures and successes of the same hours, which their weight corrects.
-- Pairs are told apart by one number, a hash of both: most values are only seen once, and then dropped.
WITH {some_hours:With}
SELECT
    kind AS fingerprint,
    kind = 0 AS well,
    stratum,
    named = '#code' AS coded,
    if(coded, '', named) AS key,
    value,
    arrivals,
    uses,
    weight_squares
FROM
(
    SELECT
        toString(any(some_key)) AS named,
        any(some_value) AS value,
        sum(if(kind = 0, 0, arrivals)) AS failures,
        groupArray((kind, arrivals, w, ww, stratum)) AS kinds
    FROM
    (
        SELECT
            cityHash64(key, value) AS pair,
            kind,
            stratum,
            any(key) AS some_key,
            any(value) AS some_value,
            count() AS arrivals,
            sum(weight) AS w,
            sum(weight * weight) AS ww
        FROM
        (
            SELECT
                if(Outcome = 'ok', 0, greatest(Fingerprint, 1)) AS kind,
                cityHash64(ServiceName, Operation) AS stratum,
                Weight * every AS weight,
                multiIf(
                    Outcome = 'ok', '',
                    Attributes['http.response.status_code'] != '', concat('http ', Attributes['http.response.status_code']),
                    Attributes['http.status_code'] != '', concat('http ', Attributes['http.status_code']),
                    Attributes['rpc.grpc.status_code'] != '', concat('grpc ', Attributes['rpc.grpc.status_code']),
                    Attributes['error.type'] != '', Attributes['error.type'],
                    ErrorType) AS code,
                arrayConcat(mapKeys(Attributes),
                    [toLowCardinality('operation'), toLowCardinality('')],
                    if(Outcome = 'ok', [], [toLowCardinality('#code')])) AS keys,
                arrayConcat(mapValues(Attributes),
                    [concat(ServiceName, ' ', Operation), ''],
                    if(Outcome = 'ok', [], [code])) AS found
            FROM {events:Identifier}
            WHERE toStartOfHour(Timestamp, 'UTC') IN hours
                AND Timestamp >= {since:DateTime64(9, 'UTC')}
                AND Timestamp < {until:DateTime64(9, 'UTC')}
                AND ({service:String} = '' OR ServiceName = {service:String})
                AND ({operation:String} = '' OR Operation = {operation:String})
        )
        ARRAY JOIN keys AS key, found AS value
        WHERE NOT match(key, '^(error\\.|exception\\.|otel\\.|http\\.(response\\.)?status_code$|rpc\\.grpc\\.status_code$)')
            AND NOT match(key, '^(user\\.|enduser\\.|session\\.|headgate\\.event\\.id$|headgate\\.track$)')
        GROUP BY pair, kind, stratum
    )
    GROUP BY pair
    HAVING named IN ('', '#code') OR failures >= 3
    ORDER BY named = '' DESC, named = '#code' DESC, failures DESC, named, value
    LIMIT 1001
)
ARRAY JOIN
    kinds.1 AS kind,
    kinds.2 AS arrivals,
    kinds.3 AS uses,
    kinds.4 AS weight_squares,
    kinds.5 AS stratum
