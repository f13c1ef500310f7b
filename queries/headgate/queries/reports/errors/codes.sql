-- Failed uses by the code that they ended with.
SELECT
    multiIf(
        Attributes['http.response.status_code'] != '', concat('http ', Attributes['http.response.status_code']),
        Attributes['http.status_code'] != '', concat('http ', Attributes['http.status_code']),
        Attributes['rpc.grpc.status_code'] != '', concat('grpc ', Attributes['rpc.grpc.status_code']),
        Attributes['error.type'] != '', Attributes['error.type'],
        ErrorType) AS code,
    count() AS arrivals,
    sum(Weight) AS failures,
    sum(Weight * (Weight - 1)) AS variance,
    sumIf(Weight, Weight > 1) AS drawn,
    sumForEach(Noise) AS noise
FROM {events:Identifier}
WHERE Outcome != 'ok'
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY code
