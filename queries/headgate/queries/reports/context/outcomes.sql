-- Uses by service, operation and outcome.
SELECT
    ServiceName AS service,
    Operation AS operation,
    Outcome AS outcome,
    sum(Calls) AS arrivals,
    sum(CallsAdjusted) AS calls,
    sum(CallsAdjusted * (CallsAdjusted / Calls - 1)) AS variance,
    sumIf(CallsAdjusted, CallsAdjusted > Calls) AS drawn,
    sumForEach(Noise) AS noise
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation, outcome
