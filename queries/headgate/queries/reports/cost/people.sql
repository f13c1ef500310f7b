-- What the busiest thousand users used, and how much of it failed.
SELECT
    UserHash AS user_hash,
    ServiceName AS service,
    Operation AS operation,
    sum(Calls) AS calls,
    sum(Errors) AS errors
FROM {users:Identifier}
WHERE UserHash IN (
        SELECT UserHash
        FROM {users:Identifier}
        WHERE UserHash != 0
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY UserHash
        ORDER BY sum(Calls) DESC, UserHash
        LIMIT 1000)
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY user_hash, service, operation
