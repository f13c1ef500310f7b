-- When each kind of failure was first and last seen; asked of the time before the window only. To tell whether a failure
-- counts, its attributes may be needed, and those of all rows around it. Most kinds are found on the first day and on
-- the last already: between those only the kinds of rows are read, and attributes around kinds that are not found there.
-- `fingerprints` are the kinds to look for, all where it is empty.
WITH (
    SELECT (groupArray(kind), groupArray(first_ns), groupArray(last_ns))
    FROM
    (
        SELECT
            Fingerprint AS kind,
            toUnixTimestamp64Nano(min(Timestamp) AS earliest) AS first_ns,
            toUnixTimestamp64Nano(max(Timestamp) AS latest) AS last_ns
        FROM {events:Identifier}
        WHERE Outcome != 'ok'
            AND Timestamp >= {since:DateTime64(9, 'UTC')}
            AND Timestamp < {until:DateTime64(9, 'UTC')}
            AND (Timestamp < {since:DateTime64(9, 'UTC')} + INTERVAL 1 DAY
                OR Timestamp >= {until:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
            AND (empty({fingerprints:Array(UInt64)}) OR Fingerprint IN {fingerprints:Array(UInt64)})
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY kind
        HAVING earliest < {since:DateTime64(9, 'UTC')} + INTERVAL 1 DAY
            AND latest >= {until:DateTime64(9, 'UTC')} - INTERVAL 1 DAY
        LIMIT 1000
    )
) AS found
SELECT kind AS fingerprint, first_ns, last_ns
FROM system.one
ARRAY JOIN found.1 AS kind, found.2 AS first_ns, found.3 AS last_ns
UNION ALL
SELECT
    Fingerprint AS fingerprint,
    toUnixTimestamp64Nano(min(Timestamp)) AS first_ns,
    toUnixTimestamp64Nano(max(Timestamp)) AS last_ns
FROM {events:Identifier}
WHERE Outcome != 'ok'
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND (empty({fingerprints:Array(UInt64)}) OR Fingerprint IN {fingerprints:Array(UInt64)})
    AND Fingerprint NOT IN (SELECT arrayJoin(found.1))
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY fingerprint
