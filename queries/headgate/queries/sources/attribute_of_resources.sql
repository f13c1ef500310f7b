-- A row where a resource, of whatever time, has one of the attributes.
SELECT 1
FROM
(
    SELECT 1 FROM otel_traces WHERE hasAny(mapKeys(ResourceAttributes), {keys:Array(String)}) LIMIT 1
    UNION ALL
    SELECT 1 FROM otel_logs WHERE hasAny(mapKeys(ResourceAttributes), {keys:Array(String)}) LIMIT 1
)
LIMIT 1
