-- Which hours of the window are read: all, or beyond most_uses uses one in `every`, whose rows weigh as much more.
(
    SELECT greatest(1, intDiv(sum(1), {most_uses:UInt64}))
    FROM {events:Identifier}
    WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
) AS every,
{hours_of:With}
