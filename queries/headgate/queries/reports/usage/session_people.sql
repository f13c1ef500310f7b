-- Where events are those of a sample of people: how many sessions these had, the sum of the squares of each one's number
-- of sessions, and how many people had any; of each operation and of all together (whole = 1).
SELECT
    service,
    operation,
    whole,
    sum(n) AS sessions,
    sum(n * n) AS squares,
    countIf(n > 0) AS people
FROM
(
    SELECT
        ServiceName AS service,
        Operation AS operation,
        grouping(ServiceName) AS whole,
        uniqExactIf(SessionId, SessionId != '') AS n
    FROM {events:Identifier}
    WHERE {events_threshold:UInt64} > 0
        AND Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
    GROUP BY GROUPING SETS ((ServiceName, Operation, Draw), (Draw))
)
GROUP BY service, operation, whole
