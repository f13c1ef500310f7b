-- What steps there are, and how many of their uses belong to no session and no user.
SELECT
    cityHash64(ServiceName, Operation) AS step,
    ServiceName AS service,
    Operation AS operation,
    count() AS arrivals,
    sumIf(1, SessionId = '' AND UserHash = 0) AS anonymous
FROM {events:Identifier}
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY step, service, operation
