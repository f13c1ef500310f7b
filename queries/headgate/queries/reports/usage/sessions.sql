-- Distinct sessions of each operation and of all together (whole = 1), the instant of the last kept use, and the largest
-- weight: above 1 there may have been sessions that were not kept. The whole is made of its parts, not counted again.
SELECT
    ServiceName AS service,
    Operation AS operation,
    grouping(ServiceName) AS whole,
    uniqExactIf(xxHash64(SessionId), SessionId != '') AS sessions,
    toUnixTimestamp64Nano(max(Timestamp)) AS last_ns,
    max(Weight) AS weight
FROM {events:Identifier}
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY ROLLUP(ServiceName, Operation)
HAVING grouping(ServiceName) = grouping(Operation)
