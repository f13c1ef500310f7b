-- Distinct domains that each source, and all together (whole = 1), was reached at, and the largest weight of a row.
WITH
    ['server.address', 'url.domain', 'net.host.name', 'http.host'] AS names,
    Attributes[arrayFirst(name -> mapContains(Attributes, name), names)] AS domain
SELECT
    ServiceName AS service,
    Operation AS operation,
    grouping(ServiceName) AS whole,
    uniqExactIf(domain, domain != '') AS domains,
    max(Weight) AS weight
FROM {events:Identifier}
WHERE hasAny(mapKeys(Attributes), names)
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY GROUPING SETS ((ServiceName, Operation), ())
