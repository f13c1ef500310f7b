-- Uses, failures and durations (ns, of timed uses) of every operation and period. weight is what one arrival stands for.
SELECT
    ServiceName AS service,
    Operation AS operation,
    roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
    sum(Calls) AS arrivals,
    sum(CallsAdjusted) AS calls,
    sum(CallsAdjusted * (CallsAdjusted / Calls - 1)) AS variance,
    sumIf(CallsAdjusted, Outcome != 'ok') AS failures,
    sumIf(CallsAdjusted, Kind != 'Event') AS timed,
    sumIf(DurationSum * CallsAdjusted / Calls, Kind != 'Event') AS duration
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation, period_s
