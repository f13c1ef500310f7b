-- What adds up of the durations (ns) of timed uses, by period. weight is what one arrival stands for;
-- variance, variance_y and variance_y2 are sums of w (w - 1) y^k for k = 0, 1, 2.
SELECT
    ServiceName AS service,
    Operation AS operation,
    roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
    sum(Calls) AS arrivals,
    sum(CallsAdjusted) AS calls,
    sum(DurationSum * CallsAdjusted / Calls) AS duration,
    sum(DurationSumSquares * CallsAdjusted / Calls) AS duration_squares,
    sum(CallsAdjusted * (CallsAdjusted / Calls - 1)) AS variance,
    sumIf(CallsAdjusted, CallsAdjusted > Calls) AS drawn,
    sumForEach(Noise) AS noise,
    sum(DurationSum * CallsAdjusted / Calls * (CallsAdjusted / Calls - 1)) AS variance_y,
    sum(DurationSumSquares * CallsAdjusted / Calls * (CallsAdjusted / Calls - 1)) AS variance_y2,
    min(DurationMin) AS shortest,
    max(DurationMax) AS longest
FROM {usage:Identifier}
WHERE Entry
    AND Kind != 'Event'
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation, period_s
