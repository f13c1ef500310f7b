-- What became of the spans and log records that arrived in the window.
SELECT
    sum(Received) AS received,
    sum(SampledOut) AS sampled_out,
    sum(Rejected) AS rejected,
    sum(Duplicate) AS duplicate
FROM {ledger:Identifier}
WHERE Signal IN ('traces', 'logs')
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
