-- Distinct users of each operation, and of all together (the row with whole = 1).
SELECT any(ServiceName) AS service, any(Operation) AS operation, 0 AS whole, uniqExact(UserHash) AS users
FROM {users:Identifier}
WHERE UserHash != 0
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY cityHash64(ServiceName, Operation)
UNION ALL
SELECT '' AS service, '' AS operation, 1 AS whole, uniqExact(UserHash) AS users
FROM {users:Identifier}
WHERE UserHash != 0
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
