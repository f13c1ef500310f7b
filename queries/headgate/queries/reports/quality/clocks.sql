-- Calls that began, by the clock of the called service, before the call was made, by that of the caller: of at most
-- 100 000 calls between services.
WITH children AS (
    SELECT TraceId, ParentSpanId, ServiceName, Timestamp
    FROM {spans:Identifier}
    WHERE ParentSpanId != ''
        AND SpanKind IN ('Server', 'SPAN_KIND_SERVER')
        AND Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
    LIMIT 100000
)
SELECT
    children.ServiceName AS service,
    count() AS arrivals,
    countIf(children.Timestamp < parents.Timestamp) AS early
FROM children
INNER JOIN (
    SELECT TraceId, SpanId, Timestamp
    FROM {spans:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND SpanId IN (SELECT ParentSpanId FROM children)
) AS parents ON parents.TraceId = children.TraceId AND parents.SpanId = children.ParentSpanId
GROUP BY service
