-- What uses answered, of those that say anything of it: HTTP status, bytes of request and response bodies, and whether
-- the source said it is deprecated. An operation with more uses than its part of half a million is read by one hour in
-- `every`, and what was found is scaled to its uses, whose number is known. The variance is then that of a ratio over
-- hours, not over uses: what goes wrong goes wrong for an hour (Cochran, Sampling Techniques, 6.4).
WITH
    {one_in:With},
    intDiv(toUnixTimestamp(Timestamp), 3600) AS hour,
    if(mapContains(Attributes, 'http.response.status_code'),
        Attributes['http.response.status_code'], Attributes['http.status_code']) AS status,
    hasAny(mapKeys(Attributes), [
        'http.request.body.size', 'http.request_content_length',
        'http.response.body.size', 'http.response_content_length']) AS measured,
    if(NOT measured, [], arrayFilter(size -> isNotNull(size), [
        toFloat64OrNull(if(mapContains(Attributes, 'http.request.body.size'),
            Attributes['http.request.body.size'], Attributes['http.request_content_length'])),
        toFloat64OrNull(if(mapContains(Attributes, 'http.response.body.size'),
            Attributes['http.response.body.size'], Attributes['http.response_content_length']))
    ])) AS sizes,
    arraySum(size -> assumeNotNull(size), sizes) AS y
SELECT
    service,
    operation,
    code,
    sum(hour_arrivals) AS arrivals,
    any(scale) * sum(n) AS calls,
    any(scale) * any(scale) * greatest(0, any(thinned) * (
        sum(n * n) - 2 * sum(n) / any(total) * sum(n * m) + pow(sum(n) / any(total), 2) * any(total_squares))
        + sum(hour_variance)) AS variance,
    any(scale) * sum(hour_sized) AS sized,
    any(scale) * sum(b) AS bytes,
    any(scale) * any(scale) * greatest(0, any(thinned) * (
        sum(b * b) - 2 * sum(b) / any(total) * sum(b * m) + pow(sum(b) / any(total), 2) * any(total_squares))
        + sum(hour_bytes_variance)) AS bytes_variance,
    max(hour_deprecated) AS deprecated,
    toUnixTimestamp64Nano(max(last)) AS last_ns
FROM
(
    SELECT
        *,
        sum(n) OVER (PARTITION BY service, operation) AS total,
        sum(n * m) OVER (PARTITION BY service, operation) AS total_squares,
        1 - 1 / every AS thinned,
        if(every = 1, 1., known.calls / total) AS scale
    FROM
    (
        SELECT *, sum(n) OVER (PARTITION BY service, operation, hour) AS m
        FROM
        (
            SELECT
                ServiceName AS service,
                Operation AS operation,
                hour,
                status AS code,
                max(one_in) AS every,
                sum(1) AS hour_arrivals,
                sum(Weight) AS n,
                sum(Weight * (Weight - 1)) AS hour_variance,
                sumIf(Weight, notEmpty(sizes)) AS hour_sized,
                sum(Weight * y) AS b,
                sum(Weight * (Weight - 1) * y * y) AS hour_bytes_variance,
                max(Attributes['headgate.deprecated'] = 'true') AS hour_deprecated,
                max(Timestamp) AS last
            FROM {events:Identifier}
            WHERE intHash64(bitXor(hour, cityHash64(Operation))) % one_in = 0
                AND Timestamp >= {since:DateTime64(9, 'UTC')}
                AND Timestamp < {until:DateTime64(9, 'UTC')}
                AND ({service:String} = '' OR ServiceName = {service:String})
                AND ({operation:String} = '' OR Operation = {operation:String})
            GROUP BY service, operation, hour, code
        )
    ) AS read
    LEFT JOIN
    (
        SELECT ServiceName AS service, Operation AS operation, sum(CallsAdjusted) AS calls
        FROM {usage:Identifier}
        WHERE Entry
            AND Time >= {since:DateTime64(9, 'UTC')}
            AND Time < {until:DateTime64(9, 'UTC')}
        GROUP BY service, operation
    ) AS known ON known.service = read.service AND known.operation = read.operation
)
WHERE code != '' OR hour_sized > 0 OR hour_deprecated
GROUP BY service, operation, code
