-- Uses by service, operation, outcome and day of the time zone: the denominator of every rate.
SELECT
    ServiceName AS service,
    Operation AS operation,
    Outcome AS outcome,
    roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
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
GROUP BY service, operation, outcome, period_s
