-- Failed uses by the code that they ended with; beyond half a million uses, those of one hour in `every`, weighted.
WITH (
    SELECT greatest(1, intDiv(sum(1), 500000))
    FROM {events:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
) AS every
SELECT
    multiIf(
        Attributes['http.response.status_code'] != '', concat('http ', Attributes['http.response.status_code']),
        Attributes['http.status_code'] != '', concat('http ', Attributes['http.status_code']),
        Attributes['rpc.grpc.status_code'] != '', concat('grpc ', Attributes['rpc.grpc.status_code']),
        Attributes['error.type'] != '', Attributes['error.type'],
        ErrorType) AS code,
    count() AS arrivals,
    sum(Weight * every) AS failures,
    sum(Weight * every * (Weight * every - 1)) AS variance
FROM {events:Identifier}
WHERE Outcome != 'ok'
    AND intHash64(intDiv(toUnixTimestamp(Timestamp), 3600)) % every = 0
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY code
