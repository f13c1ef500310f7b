-- What steps there are.
SELECT
    cityHash64(ServiceName, Operation) AS step,
    ServiceName AS service,
    Operation AS operation
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY step, service, operation
