-- When each source was used last.
SELECT
    ServiceName AS service,
    Operation AS operation,
    toUnixTimestamp64Nano(toDateTime64(max(Time), 9, 'UTC')) AS last_ns
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation
