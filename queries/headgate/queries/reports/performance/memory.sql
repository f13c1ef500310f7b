-- What tracked calls said of their memory (bytes). growth_n, _t, _s0, _s1, _s2 are sums of w, w y, w (w - 1) y^k.
WITH
    toFloat64OrNull(Attributes['headgate.memory.growth']) AS growth,
    ifNull(growth, 0.) AS y,
    if(isNull(growth), 0., Weight) AS w
SELECT
    ServiceName AS service,
    Operation AS operation,
    sum(w) AS growth_n,
    sum(w * y) AS growth_t,
    sum(w * (Weight - 1)) AS growth_s0,
    sum(w * (Weight - 1) * y) AS growth_s1,
    sum(w * (Weight - 1) * y * y) AS growth_s2,
    sumForEachIf(Noise, isNotNull(growth)) AS growth_noise,
    max(ifNull(toFloat64OrNull(Attributes['headgate.memory.peak']), 0.)) AS peak,
    sum(Weight - 1) AS thinned
FROM {events:Identifier}
WHERE (mapContains(Attributes, 'headgate.memory.growth') OR mapContains(Attributes, 'headgate.memory.peak'))
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation
