-- Distinct sessions and contexts of each operation and of all together (whole = 1), the instant of the last kept use,
-- and the largest weight: above 1 there may have been sessions that were not kept. size_n, _t, _s0, _s1 and _s2 are sums
-- of w, w y and w (w - 1) y^k, size_noise what says how sure they are, over the sizes of arrays (elements) that tracked calls were given.
WITH
    toFloat64OrNull(Attributes['headgate.array.size']) AS size,
    ifNull(size, 0.) AS y,
    if(isNull(size), 0., Weight) AS w,
    Attributes['headgate.context.type'] AS context
SELECT
    ServiceName AS service,
    Operation AS operation,
    grouping(ServiceName) AS whole,
    uniqExactIf(SessionId, SessionId != '') AS sessions,
    uniqExactIf(context, context != '') AS contexts,
    toUnixTimestamp64Nano(max(Timestamp)) AS last_ns,
    max(Weight) AS weight,
    sum(w) AS size_n,
    sum(w * y) AS size_t,
    sum(w * (Weight - 1)) AS size_s0,
    sum(w * (Weight - 1) * y) AS size_s1,
    sum(w * (Weight - 1) * y * y) AS size_s2,
    sumForEachIf(Noise, isNotNull(size)) AS size_noise
FROM {events:Identifier}
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY GROUPING SETS ((ServiceName, Operation), ())
