-- Failed uses by fingerprint, operation and day of the time zone, with the latest message as the sample.
SELECT
    Fingerprint AS fingerprint,
    ServiceName AS service,
    Operation AS operation,
    roundDown(toUnixTimestamp(Timestamp), {edges:Array(UInt32)}) AS period_s,
    argMax(ErrorType, Timestamp) AS error_type,
    argMax(ErrorMessage, Timestamp) AS message,
    count() AS arrivals,
    sum(Weight) AS failures,
    sum(Weight * (Weight - 1)) AS variance,
    sumIf(Weight, Weight > 1) AS drawn,
    sumForEach(Noise) AS noise,
    sumIf(Weight, Outcome = 'timeout') AS timeouts,
    sumIf(Weight * (Weight - 1), Outcome = 'timeout') AS timeout_variance,
    sumForEachIf(Noise, Outcome = 'timeout') AS timeout_noise,
    toUnixTimestamp64Nano(min(Timestamp)) AS first_ns,
    toUnixTimestamp64Nano(max(Timestamp)) AS last_ns
FROM {events:Identifier}
WHERE Outcome != 'ok'
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY fingerprint, service, operation, period_s
