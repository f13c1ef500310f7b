-- What calls said of the quality of their results: scores (0 to 1) and whether they passed their gates.
-- scored_n, _t, _s0, _s1 and _s2 are sums of w, w y and w (w - 1) y^k over the calls with a score y.
WITH
    toFloat64OrNull(Attributes['headgate.quality.score']) AS score,
    ifNull(score, 0.) AS y,
    if(isNull(score), 0., Weight) AS w,
    Attributes['headgate.quality.gates_passed'] IN ('false', 'False', '0') AS failed
SELECT
    ServiceName AS service,
    Operation AS operation,
    countIf(isNotNull(score)) AS scored,
    sum(w) AS scored_n,
    sum(w * y) AS scored_t,
    sum(w * (Weight - 1)) AS scored_s0,
    sum(w * (Weight - 1) * y) AS scored_s1,
    sum(w * (Weight - 1) * y * y) AS scored_s2,
    sumForEachIf(Noise, isNotNull(score)) AS scored_noise,
    countIf(failed) AS failures,
    sumIf(Weight, failed) AS gate_failures,
    sumIf(Weight * (Weight - 1), failed) AS gate_variance,
    sumForEachIf(Noise, failed) AS gate_noise
FROM {events:Identifier}
WHERE (mapContains(Attributes, 'headgate.quality.score') OR mapContains(Attributes, 'headgate.quality.gates_passed'))
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation
