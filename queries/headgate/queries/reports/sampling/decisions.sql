-- What the sampler counted and allowed, by signal and period of arrival.
SELECT
    Signal AS signal,
    roundDown(toUnixTimestamp(Time), {edges:Array(UInt32)}) AS period_s,
    sum(Requests) AS requests,
    sum(ExpectedRequests) AS expected,
    sum(KeptRequests) AS kept,
    max(WindowRequests) AS busiest,
    min(Probability) AS probability,
    min(LeastProbability) AS least_probability,
    sum(Requests * Probability) AS allowed,
    argMax(Low, Time) AS low,
    argMax(High, Time) AS high,
    argMax(Rate, Time) AS rate,
    max(RowsBudget) AS rows_budget,
    toUnixTimestamp64Nano(max(TimeEnd)) AS last_ns
FROM {decisions:Identifier}
WHERE Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
GROUP BY signal, period_s
