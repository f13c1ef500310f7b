-- Everything by period: what tells a gap from a quiet period.
SELECT
    roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
    sum(CallsAdjusted) AS calls
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
GROUP BY period_s
