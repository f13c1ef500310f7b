-- Distinct domains that each source, and all together (whole = 1), was reached at, and the largest weight of a row: above
-- 1 there may be more. Operations with many uses are read by some hours only, as in answers.sql.
WITH
    (
        SELECT (groupArray(name), groupArray(greatest(1, intDiv(uses * names, {most_uses:UInt64}))))
        FROM
        (
            SELECT toString(Operation) AS name, sum(Calls) AS uses, sum(1) OVER () AS names
            FROM {usage:Identifier}
            WHERE Entry
                AND Time >= {since:DateTime64(9, 'UTC')}
                AND Time < {until:DateTime64(9, 'UTC')}
                AND ({service:String} = '' OR ServiceName = {service:String})
                AND ({operation:String} = '' OR Operation = {operation:String})
            GROUP BY name
        )
    ) AS size,
    toUInt64(transform(Operation, size.1, size.2, toUInt64(1))) AS one_in,
    ['server.address', 'url.domain', 'net.host.name', 'http.host'] AS names,
    Attributes[arrayFirst(name -> mapContains(Attributes, name), names)] AS domain
SELECT
    ServiceName AS service,
    Operation AS operation,
    grouping(ServiceName) AS whole,
    uniqExactIf(domain, domain != '') AS domains,
    max(Weight * one_in) AS weight
FROM {events:Identifier}
WHERE intHash64(bitXor(intDiv(toUnixTimestamp(Timestamp), 3600), cityHash64(Operation))) % one_in = 0
    AND hasAny(mapKeys(Attributes), names)
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY GROUPING SETS ((ServiceName, Operation), ())
