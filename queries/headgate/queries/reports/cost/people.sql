-- What the busiest thousand users used, and the bytes of it. Where events are those of a sample of people each row stands
-- for other people's too; here it is to stand for its own user only.
WITH 1 - {events_threshold:UInt64} / 72057594037927936. AS people
SELECT
    UserHash AS user_hash,
    any(UserId) AS user,
    ServiceName AS service,
    Operation AS operation,
    Outcome AS outcome,
    count() AS arrivals,
    sum(Weight) * people AS calls,
    people * sum(Weight * arraySum(name -> ifNull(toFloat64OrNull(Attributes[name]), 0), [
        'http.request.body.size', 'http.response.body.size', 'messaging.message.body.size',
        'http.request_content_length', 'http.response_content_length'])) AS bytes
FROM {events:Identifier}
WHERE UserHash IN (
        SELECT UserHash
        FROM {events:Identifier}
        WHERE UserHash != 0
            AND Timestamp >= {since:DateTime64(9, 'UTC')}
            AND Timestamp < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY UserHash
        ORDER BY sum(Weight) DESC, UserHash
        LIMIT 1000)
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY user_hash, service, operation, outcome
