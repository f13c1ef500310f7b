-- Uses of each service, how many were counted for others (upstream sampling), and how many names its operations have.
SELECT
    ServiceName AS service,
    sum(Calls) AS arrivals,
    sum(CallsAdjusted) AS calls,
    sum(CallsAdjusted * (CallsAdjusted / Calls - 1)) AS variance,
    uniqExact(Operation) AS operations
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service
