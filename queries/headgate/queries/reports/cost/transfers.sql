-- Bytes in and out of uses that say so, by service, operation, outcome and day.
SELECT
    ServiceName AS service,
    Operation AS operation,
    Outcome AS outcome,
    roundDown(toUnixTimestamp(Timestamp), {edges:Array(UInt32)}) AS period_s,
    count() AS arrivals,
    sum(Weight * size) AS bytes,
    sum(Weight * (Weight - 1) * size * size) AS variance
FROM
(
    SELECT
        ServiceName,
        Operation,
        Outcome,
        Timestamp,
        Weight,
        arraySum(name -> ifNull(toFloat64OrNull(Attributes[name]), 0), [
            'http.request.body.size', 'http.response.body.size', 'messaging.message.body.size',
            'http.request_content_length', 'http.response_content_length']) AS size
    FROM {events:Identifier}
    WHERE hasAny(mapKeys(Attributes), [
            'http.request.body.size', 'http.response.body.size', 'messaging.message.body.size',
            'http.request_content_length', 'http.response_content_length'])
        AND Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
)
WHERE size > 0 AND isFinite(size)
GROUP BY service, operation, outcome, period_s
