-- Uses as the collector stored them, in the shape of uses among raw rows; they know no attributes of resources. Weight is
-- what a use stands for that was sampled before it came here.
SELECT
    Timestamp,
    Kind,
    ServiceName,
    Operation,
    Outcome,
    CAST(Outcome != 'ok', 'UInt8') AS Failed,
    Duration,
    UserId,
    SessionId,
    UserHash,
    notEmpty(SessionId) AS HasSession,
    TraceId,
    if(TraceId = '', cityHash64(Timestamp, SpanId), cityHash64(TraceId)) AS Draw,
    SpanId,
    Value,
    Attributes,
    CAST(map(), 'Map(LowCardinality(String), String)') AS Resource,
    ErrorType,
    ErrorMessage,
    '' AS ErrorStack,
    Fingerprint,
    UpstreamWeight AS Weight,
    arrayMap(bit -> if(bitTest(Draw, bit), 1., -1.), range(if(UpstreamWeight > 1, 64, 0))) AS Signs
FROM events
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({only_operation:String} = '' OR Operation = {only_operation:String})
    AND (empty({where_keys:Array(String)})
        OR Attributes[{where_keys:Array(String)}[1]] = {where_values:Array(String)}[1])
    AND (length({where_keys:Array(String)}) < 2 OR arrayAll(
        (key, value) -> Attributes[key] = value, {where_keys:Array(String)}, {where_values:Array(String)}))
