-- The users with the most uses.
SELECT
    UserId AS user,
    count() AS arrivals,
    sum(Weight) AS calls,
    sum(Weight * (Weight - 1)) AS variance
FROM {events:Identifier}
WHERE UserId != ''
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY user
ORDER BY calls DESC, user
LIMIT {top_users:UInt32}
