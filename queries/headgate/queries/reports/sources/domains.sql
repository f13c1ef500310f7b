-- Distinct domains that each source, and all together (whole = 1), was reached at, and the largest weight of a row: above
-- 1 there may be more. Operations with many uses are read by some hours only, as in answers.sql.
WITH
    {one_in:With},
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
