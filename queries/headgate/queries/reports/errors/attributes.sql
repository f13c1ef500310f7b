-- How often each attribute value that at least three failures have is found among failures (by fingerprint) and among
-- successes (fingerprint 0) of each operation (stratum); the rows with an empty key count all of them. Attributes that
-- say how a call ended, or whose it was, are left out; instead rows with coded = 1 count failures by the code that they
-- ended with. Beyond half a million uses, those of one hour in `every` are compared, failures and successes of the same
-- hours, which their weight corrects.
-- Pairs are told apart by one number, a hash of both. Failures are few: they say first which pairs are counted at all, so
-- that no room is made for the values that only one success has, which are most.
WITH {read_uses:With},
told AS (
    SELECT
        if(failed, greatest(Fingerprint, 1), 0) AS kind,
        stratum,
        weight,
        multiIf(
            NOT failed, '',
            Attributes['http.response.status_code'] != '', concat('http ', Attributes['http.response.status_code']),
            Attributes['http.status_code'] != '', concat('http ', Attributes['http.status_code']),
            Attributes['rpc.grpc.status_code'] != '', concat('grpc ', Attributes['rpc.grpc.status_code']),
            Attributes['error.type'] != '', Attributes['error.type'],
            ErrorType) AS code,
        arrayConcat(mapKeys(Attributes),
            [toLowCardinality('operation'), toLowCardinality('')],
            if(failed, [toLowCardinality('#code')], [])) AS keys,
        arrayConcat(mapValues(Attributes),
            [concat(ServiceName, ' ', Operation), ''],
            if(failed, [code], [])) AS found
    FROM read_uses
),
compared AS (
    SELECT cityHash64(key, value) AS pair
    FROM told
    ARRAY JOIN keys AS key, found AS value
    WHERE kind != 0
        AND NOT match(key, '^(error\\.|exception\\.|otel\\.|http\\.(response\\.)?status_code$|rpc\\.grpc\\.status_code$)')
        AND NOT match(key, '^(user\\.|enduser\\.|session\\.|headgate\\.event\\.id$|headgate\\.track$)')
    GROUP BY pair
    HAVING any(key) IN ('', '#code') OR sum(1) >= 3
    ORDER BY any(key) = '' DESC, any(key) = '#code' DESC, sum(1) DESC, any(key), any(value)
    LIMIT 1001
)
SELECT
    kind AS fingerprint,
    kind = 0 AS well,
    stratum,
    any(name) = '#code' AS coded,
    if(coded, '', any(name)) AS key,
    any(shown) AS value,
    count() AS arrivals,
    sum(weight) AS uses,
    sum(weight * weight) AS weight_squares
FROM told
ARRAY JOIN keys AS name, found AS shown
WHERE cityHash64(name, shown) IN compared
GROUP BY cityHash64(name, shown), kind, stratum
