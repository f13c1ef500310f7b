-- Operations of the window as bits, 64 to a word: number is an operation's, from 1; 0 has what was not used in it.
-- known has their labels, services and names in that order, bits says how many of a word are in use.
(
    SELECT (groupArray(label), groupArray(service), groupArray(operation))
    FROM
    (
        SELECT
            bitXor(cityHash64(ServiceName), bitRotateLeft(cityHash64(Operation), 1)) AS label,
            any(toString(ServiceName)) AS service,
            any(toString(Operation)) AS operation
        FROM {usage:Identifier}
        WHERE Entry
            AND Time >= {since:DateTime64(9, 'UTC')}
            AND Time < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY label
    )
) AS known,
transform(
    bitXor(cityHash64(ServiceName), bitRotateLeft(cityHash64(Operation), 1)),
    known.1, arrayEnumerate(known.1), toUInt32(0)) AS number,
least(64, length(known.1) + 1) AS bits
