-- Operations of the window as bits, 63 to a word: place is an operation's word and bit (64 word + bit). Bit 0 of a word is
-- free, bit 1 of the first has what was not used in the window. known has labels, places, and services with names; those
-- of bit b of word w are at 63 w + b - 1. It is planned again wherever it is named.
(
    SELECT (
        groupArray(label),
        arrayMap(number -> toUInt32(number + intDiv(number, 63) + 1), arrayEnumerate(groupArray(label))),
        groupArray((service, operation)))
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
    bitXor(cityHash64(ServiceName), bitRotateLeft(cityHash64(Operation), 1)), known.1, known.2, toUInt32(1)) AS place
