-- Distinct users of each operation, and of all together (the row with whole = 1). Operations are bits, 63 to a word, so
-- that rows are grouped by users and words, not by each user of each operation: a hundred thousand groups instead of
-- millions. Operations without a use in the window, whose users are counted by whole days or hours, share a bit. Bit 0
-- is the whole.
WITH
    {operation_bits:With}
SELECT
    label.1 AS service,
    label.2 AS operation,
    whole,
    if(whole, uniqExactMerge(everybody), sum(counted)) AS users
FROM
(
    SELECT
        bit = 0 AS whole,
        if(whole, 0, word * 63 + bit - 1) AS number,
        known.3[number] AS label,
        uniqExactStateIf(user, whole) AS everybody,
        sum(bitTest(used, bit)) AS counted
    FROM
    (
        SELECT
            bitXor(person, word) AS user,
            any(bitShiftRight(its_place, 6)) AS word,
            groupBitOr(bitShiftLeft(toUInt64(1), bitAnd(its_place, 63))) AS used
        FROM
        (
            SELECT UserHash, place AS its_place
            FROM {users:Identifier}
            WHERE UserHash != 0
                AND ({service:String} = '' OR ServiceName = {service:String})
                AND ({operation:String} = '' OR Operation = {operation:String})
        )
        GROUP BY bitXor(UserHash, bitShiftRight(its_place, 6)) AS person
    )
    ARRAY JOIN range(least(64, length(known.1) + 2)) AS bit
    GROUP BY word, bit
)
WHERE whole OR (counted > 0 AND number > 0)
GROUP BY label, whole
