-- One in how many is read: all, or beyond most_uses uses as many fewer.
(
    SELECT greatest(1, intDiv(sum(1), {most_uses:UInt64}))
    FROM {events:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
) AS every
