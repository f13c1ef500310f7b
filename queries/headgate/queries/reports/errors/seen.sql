-- When each kind of failure was first and last seen; asked of the time before the window only.
SELECT
    Fingerprint AS fingerprint,
    toUnixTimestamp64Nano(min(Timestamp)) AS first_ns,
    toUnixTimestamp64Nano(max(Timestamp)) AS last_ns
FROM {events:Identifier}
WHERE Outcome != 'ok'
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY fingerprint
