-- Of how many hours one is read of each operation: all, or as many fewer as it has more uses than its part of most_uses.
(
    SELECT (groupArray(name), groupArray(greatest(1, intDiv(uses * names, {most_uses:UInt64}))))
    FROM
    (
        SELECT toString(Operation) AS name, sum(Calls) AS uses, sum(1) OVER () AS names
        FROM {usage:Identifier}
        WHERE Entry
            AND Time >= {since:DateTime64(9, 'UTC')}
            AND Time < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY name
    )
) AS size,
toUInt64(transform(Operation, size.1, size.2, toUInt64(1))) AS one_in
