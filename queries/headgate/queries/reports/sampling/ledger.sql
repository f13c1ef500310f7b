-- What came in and what became of it, in items.
SELECT
    Signal AS signal,
    sum(Received) AS received,
    sum(Stored) AS stored,
    sum(SampledOut) AS sampled_out,
    sum(Rejected) AS rejected,
    sum(Duplicate) AS duplicate
FROM {ledger:Identifier}
WHERE Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
GROUP BY signal
