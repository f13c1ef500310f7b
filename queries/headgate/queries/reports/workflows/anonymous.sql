-- How many uses there are, and how many of them belong to no session and no user.
SELECT
    count() AS arrivals,
    sumIf(1, UserHash = 0 AND NOT HasSession) AS anonymous
FROM {events:Identifier}
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
