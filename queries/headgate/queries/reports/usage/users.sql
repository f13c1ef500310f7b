-- Distinct users of each operation, and of all together (the row with whole = 1).
SELECT
    ServiceName AS service,
    Operation AS operation,
    grouping(ServiceName) AS whole,
    uniqExact(UserHash) AS users
FROM {users:Identifier}
WHERE UserHash != 0
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY GROUPING SETS ((ServiceName, Operation), ())
