-- What uses were worth (`headgate.event.value`), by service and operation; scores are not money.
SELECT
    ServiceName AS service,
    Operation AS operation,
    count() AS arrivals,
    sum(Weight * Value) AS worth,
    sum(Weight * (Weight - 1) * Value * Value) AS variance
FROM {events:Identifier}
WHERE isNotNull(Value)
    AND isFinite(Value)
    AND Operation != 'headgate.nps'
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation
