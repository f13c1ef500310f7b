-- Who the busiest thousand users are; beyond half a million uses, those of one hour in `every` are asked.
WITH (
    SELECT greatest(1, intDiv(sum(1), {most_uses:UInt64}))
    FROM {events:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
) AS every,
hours AS (
    SELECT toDateTime(number * 3600, 'UTC')
    FROM numbers(
        intDiv(toUnixTimestamp({since:DateTime64(9, 'UTC')}), 3600),
        intDiv(toUnixTimestamp({until:DateTime64(9, 'UTC')}), 3600)
            - intDiv(toUnixTimestamp({since:DateTime64(9, 'UTC')}), 3600) + 1)
    WHERE intHash64(number) % every = 0
)
SELECT UserHash AS user_hash, any(UserId) AS user
FROM {events:Identifier}
WHERE UserHash IN (
        SELECT UserHash
        FROM {users:Identifier}
        WHERE UserHash != 0
            AND Time >= {since:DateTime64(9, 'UTC')}
            AND Time < {until:DateTime64(9, 'UTC')}
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
