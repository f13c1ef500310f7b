-- Distinct users of each operation, and of all together (the row with whole = 1). Hashes of one name each are taken
-- of the dictionary, not of every row.
SELECT any(ServiceName) AS service, any(Operation) AS operation, 0 AS whole, uniqExact(UserHash) AS users
FROM {users:Identifier}
WHERE UserHash != 0
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY bitXor(cityHash64(ServiceName), bitRotateLeft(cityHash64(Operation), 1))
UNION ALL
SELECT '' AS service, '' AS operation, 1 AS whole, uniqExact(UserHash) AS users
FROM {users:Identifier}
WHERE UserHash != 0
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
