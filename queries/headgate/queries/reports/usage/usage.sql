-- Uses by service, operation, outcome, period and local day. weight is what one arrival stands for (upstream sampling).
SELECT
    ServiceName AS service,
    Operation AS operation,
    Outcome AS outcome,
    roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
    toUnixTimestamp(toStartOfDay(Time, {timezone:String})) AS day_s,
    sum(Calls) AS arrivals,
    sum(CallsAdjusted) AS calls,
    sum(CallsAdjusted * (CallsAdjusted / Calls - 1)) AS variance,
    sumIf(CallsAdjusted, CallsAdjusted > Calls) AS drawn,
    sumForEach(Noise) AS noise,
    toUnixTimestamp64Nano(toDateTime64(max(Time), 9, 'UTC')) AS last_ns
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation, outcome, period_s, day_s
