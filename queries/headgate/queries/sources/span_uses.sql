-- Uses among raw spans, derived as the collector derives them: entry spans, their outcome, user, session, error.
-- Those that are entries by their kind are read apart, so that no attribute is read for what they are.
-- The first attribute that is asked for is looked up by a constant, which takes half the time of a list of them.
WITH
    StatusCode IN ('Error', 'STATUS_CODE_ERROR') AS failed,
    arrayLast((attributes, name) -> name = 'exception', Events.Attributes, Events.Name) AS exception,
    if(mapContains(SpanAttributes, 'http.response.status_code'),
        SpanAttributes['http.response.status_code'], SpanAttributes['http.status_code']) AS http_status,
    multiIf(exception['exception.type'] != '', exception['exception.type'],
        SpanAttributes['error.type'] != '', SpanAttributes['error.type'],
        http_status) AS error_type,
    if(exception['exception.message'] != '', exception['exception.message'], StatusMessage) AS error_message
SELECT
    Timestamp,
    'span' AS Kind,
    ServiceName,
    SpanName AS Operation,
    multiIf(
        NOT failed, 'ok',
        match(error_type, '(?i)timeout|deadline')
            OR http_status IN ('408', '504')
            OR SpanAttributes['rpc.grpc.status_code'] = '4', 'timeout',
        'error') AS Outcome,
    CAST(failed, 'UInt8') AS Failed,
    Duration,
    arrayFirst(value -> value != '' AND NOT has({nobody:Array(String)}, value),
        arrayFlatten(arrayMap(key -> [SpanAttributes[key], ResourceAttributes[key]],
            {user_attributes:Array(String)}))) AS UserId,
    arrayFirst(value -> value != '' AND NOT has({nobody:Array(String)}, value),
        arrayFlatten(arrayMap(key -> [SpanAttributes[key], ResourceAttributes[key]],
            {session_attributes:Array(String)}))) AS SessionId,
    if(UserId = '', 0, xxHash64(UserId)) AS UserHash,
    notEmpty(SessionId) AS HasSession,
    TraceId,
    if(TraceId = '', cityHash64(Timestamp, SpanId), cityHash64(TraceId)) AS Draw,
    SpanId,
    CAST(NULL, 'Nullable(Float64)') AS Value,
    SpanAttributes AS Attributes,
    ResourceAttributes AS Resource,
    if(failed, error_type, '') AS ErrorType,
    if(failed, error_message, '') AS ErrorMessage,
    if(failed, exception['exception.stacktrace'], '') AS ErrorStack,
    if(failed, cityHash64(ErrorType, ErrorStack, if(ErrorStack = '', ErrorMessage, '')), 0) AS Fingerprint,
    Weight,
    arrayMap(bit -> if(bitTest(Draw, bit), 1., -1.), range(if(Weight > 1, 64, 0))) AS Signs
FROM (
    SELECT * FROM spans
    WHERE SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER') OR ParentSpanId = ''
    UNION ALL
    SELECT * FROM spans
    WHERE SpanKind NOT IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER') AND ParentSpanId != ''
        AND SpanAttributes['headgate.track'] = 'true'
)
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({only_operation:String} = '' OR SpanName = {only_operation:String})
    AND (empty({where_keys:Array(String)})
        OR SpanAttributes[{where_keys:Array(String)}[1]] = {where_values:Array(String)}[1]
        OR ResourceAttributes[{where_keys:Array(String)}[1]] = {where_values:Array(String)}[1])
    AND (length({where_keys:Array(String)}) < 2 OR arrayAll(
        (key, value) -> SpanAttributes[key] = value OR ResourceAttributes[key] = value,
        {where_keys:Array(String)}, {where_values:Array(String)}))
