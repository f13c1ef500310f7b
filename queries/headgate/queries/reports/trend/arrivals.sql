-- Everything by period and hour: what tells a gap from a quiet period, and a period that was recorded in part.
SELECT
    roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
    intDiv(toUnixTimestamp(Time), 3600) * 3600 AS hour_s,
    sum(CallsAdjusted) AS calls
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
GROUP BY period_s, hour_s
