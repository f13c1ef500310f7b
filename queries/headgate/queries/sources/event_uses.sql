-- Uses among raw log records, derived as the collector derives them: each named event is one.
WITH
    SeverityNumber >= 17 AS failed,
    if(EventName != '', EventName, LogAttributes['event.name']) AS name,
    if(mapContains(LogAttributes, 'exception.type'),
        LogAttributes['exception.type'], LogAttributes['error.type']) AS error_type
SELECT
    Timestamp,
    'event' AS Kind,
    ServiceName,
    name AS Operation,
    multiIf(NOT failed, 'ok', match(error_type, '(?i)timeout|deadline'), 'timeout', 'error') AS Outcome,
    failed AS Failed,
    toUInt64(0) AS Duration,
    arrayFirst(value -> value != '' AND NOT has({nobody:Array(String)}, value),
        arrayFlatten(arrayMap(key -> [LogAttributes[key], ResourceAttributes[key]],
            {user_attributes:Array(String)}))) AS UserId,
    arrayFirst(value -> value != '' AND NOT has({nobody:Array(String)}, value),
        arrayFlatten(arrayMap(key -> [LogAttributes[key], ResourceAttributes[key]],
            {session_attributes:Array(String)}))) AS SessionId,
    if(UserId = '', 0, xxHash64(UserId)) AS UserHash,
    notEmpty(SessionId) AS HasSession,
    TraceId,
    if(TraceId = '', cityHash64(Timestamp, SpanId), cityHash64(TraceId)) AS Draw,
    SpanId,
    toFloat64OrNull(LogAttributes['headgate.event.value']) AS Value,
    LogAttributes AS Attributes,
    ResourceAttributes AS Resource,
    if(failed, error_type, '') AS ErrorType,
    if(failed, LogAttributes['exception.message'], '') AS ErrorMessage,
    if(failed, LogAttributes['exception.stacktrace'], '') AS ErrorStack,
    if(failed, cityHash64(ErrorType, ErrorStack, if(ErrorStack = '', ErrorMessage, '')), 0) AS Fingerprint,
    1. AS Weight,
    CAST([], 'Array(Float64)') AS Signs
FROM otel_logs
WHERE name != ''
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({only_operation:String} = '' OR name = {only_operation:String})
    AND (empty({where_keys:Array(String)})
        OR LogAttributes[{where_keys:Array(String)}[1]] = {where_values:Array(String)}[1]
        OR ResourceAttributes[{where_keys:Array(String)}[1]] = {where_values:Array(String)}[1])
    AND (length({where_keys:Array(String)}) < 2 OR arrayAll(
        (key, value) -> LogAttributes[key] = value OR ResourceAttributes[key] = value,
        {where_keys:Array(String)}, {where_values:Array(String)}))
