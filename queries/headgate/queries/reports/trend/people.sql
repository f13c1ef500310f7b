-- Users of each operation and of all together (whole = 1), how many of them came in two calendar weeks that follow one
-- another, and how many had their first day, as far as is remembered, in the window. A user's weeks are bits, counted
-- from the week that the window begins in: no year's weeks are another's. 64 of them reach further back than users are
-- kept. Users of operations are told apart by one number, a hash of both: the engine groups by that four times as fast
-- as by two names and a number, and takes hashes of one name each of the dictionary, not of every row.
WITH
    indexOf(
        ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], {week_start:String}) - 1 AS first_day,
    intDiv(toInt32(toDate({since:DateTime64(9, 'UTC')}, {timezone:String})) + 3 - first_day, 7) AS first_week,
    toStartOfDay({since:DateTime64(9, 'UTC')}, 'UTC') AS begin,
    bitShiftLeft(toUInt64(Time >= {since:DateTime64(9, 'UTC')}), toUInt8(greatest(0,
        intDiv(toInt32(toDate(Time, {timezone:String})) + 3 - first_day, 7) - first_week))) AS week
SELECT service, operation, whole, arrivals, retained, newcomers
FROM
(
    SELECT
        label,
        0 AS whole,
        count() AS arrivals,
        countIf(bitAnd(weeks, bitShiftRight(weeks, 1)) != 0) AS retained,
        countIf(first >= begin) AS newcomers
    FROM
    (
        SELECT
            any(bitXor(cityHash64(ServiceName), bitRotateLeft(cityHash64(Operation), 1))) AS label,
            groupBitOr(week) AS weeks,
            min(Time) AS first
        FROM {history:Identifier}
        WHERE UserHash != 0
            AND Time < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY bitXor(bitXor(cityHash64(ServiceName), bitRotateLeft(cityHash64(Operation), 1)), UserHash)
        HAVING weeks != 0
    )
    GROUP BY label
    UNION ALL
    SELECT
        toUInt64(0) AS label,
        1 AS whole,
        count() AS arrivals,
        countIf(bitAnd(weeks, bitShiftRight(weeks, 1)) != 0) AS retained,
        countIf(first >= begin) AS newcomers
    FROM
    (
        SELECT groupBitOr(week) AS weeks, min(Time) AS first
        FROM {history:Identifier}
        WHERE UserHash != 0
            AND Time < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY UserHash
        HAVING weeks != 0
    )
) AS counted
LEFT JOIN
(
    SELECT
        bitXor(cityHash64(ServiceName), bitRotateLeft(cityHash64(Operation), 1)) AS label,
        any(ServiceName) AS service,
        any(Operation) AS operation
    FROM {usage:Identifier}
    WHERE Entry
        AND Time >= {since:DateTime64(9, 'UTC')}
        AND Time < {until:DateTime64(9, 'UTC')}
    GROUP BY label
) AS named ON named.label = counted.label
