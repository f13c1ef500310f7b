-- What uses answered, of those that say anything of it: HTTP status, bytes of request and response bodies, and whether the source said it is deprecated.
WITH
    if(mapContains(Attributes, 'http.response.status_code'),
        Attributes['http.response.status_code'], Attributes['http.status_code']) AS status,
    arrayFilter(size -> isNotNull(size), [
        toFloat64OrNull(if(mapContains(Attributes, 'http.request.body.size'),
            Attributes['http.request.body.size'], Attributes['http.request_content_length'])),
        toFloat64OrNull(if(mapContains(Attributes, 'http.response.body.size'),
            Attributes['http.response.body.size'], Attributes['http.response_content_length']))
    ]) AS sizes,
    arraySum(size -> assumeNotNull(size), sizes) AS y
SELECT
    ServiceName AS service,
    Operation AS operation,
    status AS code,
    count() AS arrivals,
    sum(Weight) AS calls,
    sum(Weight * (Weight - 1)) AS variance,
    sumIf(Weight, notEmpty(sizes)) AS sized,
    sum(Weight * y) AS bytes,
    sum(Weight * (Weight - 1) * y * y) AS bytes_variance,
    max(Attributes['headgate.deprecated'] = 'true') AS deprecated,
    toUnixTimestamp64Nano(max(Timestamp)) AS last_ns
FROM {events:Identifier}
WHERE hasAny(mapKeys(Attributes), [
        'http.response.status_code', 'http.status_code', 'headgate.deprecated',
        'http.request.body.size', 'http.request_content_length',
        'http.response.body.size', 'http.response_content_length'])
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation, code
