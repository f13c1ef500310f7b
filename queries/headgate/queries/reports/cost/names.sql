-- Who the busiest thousand users are; beyond half a million uses, those of one hour in `every` are asked.
WITH {some_hours:With}
SELECT UserHash AS user_hash, any(UserId) AS user
FROM {events:Identifier}
WHERE UserHash IN (
        SELECT UserHash
        FROM {users:Identifier}
        WHERE UserHash != 0
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY UserHash
        ORDER BY sum(Calls) DESC, UserHash
        LIMIT 1000)
    AND toStartOfHour(Timestamp, 'UTC') IN hours
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY user_hash
