-- Distinct contexts of each operation and of all together (whole = 1), and the sizes of arrays (elements) that tracked
-- calls were given: size_n, _t, _s0, _s1 and _s2 are sums of w, w y and w (w - 1) y^k, size_noise what says how sure they
-- are. Only rows with one of these attributes are read whole.
WITH
    toFloat64OrNull(Attributes['headgate.array.size']) AS size,
    ifNull(size, 0.) AS y,
    if(isNull(size), 0., Weight) AS w,
    Attributes['headgate.context.type'] AS context
SELECT
    ServiceName AS service,
    Operation AS operation,
    grouping(ServiceName) AS whole,
    uniqExactIf(context, context != '') AS contexts,
    sum(w) AS size_n,
    sum(w * y) AS size_t,
    sum(w * (Weight - 1)) AS size_s0,
    sum(w * (Weight - 1) * y) AS size_s1,
    sum(w * (Weight - 1) * y * y) AS size_s2,
    sumForEachIf(Noise, isNotNull(size)) AS size_noise
FROM {events:Identifier}
WHERE hasAny(mapKeys(Attributes), ['headgate.array.size', 'headgate.context.type'])
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY ROLLUP(ServiceName, Operation)
HAVING grouping(ServiceName) = grouping(Operation)
