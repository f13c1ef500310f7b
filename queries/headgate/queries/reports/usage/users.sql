-- Distinct users of each operation, and of all together (the row with whole = 1). Operations are bits, 64 to a word, so
-- that rows are grouped by users and words, not by each user of each operation: a hundred thousand groups instead of
-- millions. Operations without a use in the window, whose users are counted by whole days or hours, share bit 0. Bit 64
-- is the whole.
WITH
    {operation_bits:With}
SELECT
    if(whole, '', known.2[word * 64 + bit]) AS service,
    if(whole, '', known.3[word * 64 + bit]) AS operation,
    bit = 64 AS whole,
    if(whole, uniqExactMerge(everybody), sum(counted)) AS users
FROM
(
    SELECT
        word,
        bit,
        uniqExactStateIf(user, bit = 64) AS everybody,
        sum(bitTest(used, bit % 64)) AS counted
    FROM
    (
        SELECT
            bitXor(person, word) AS user,
            any(bitShiftRight(number, 6)) AS word,
            groupBitOr(bitShiftLeft(toUInt64(1), bitAnd(number, 63))) AS used
        FROM {users:Identifier}
        WHERE UserHash != 0
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY bitXor(UserHash, bitShiftRight(number, 6)) AS person
    )
    ARRAY JOIN arrayConcat(range(bits), [64]) AS bit
    GROUP BY word, bit
)
WHERE whole OR (counted > 0 AND word * 64 + bit > 0)
GROUP BY service, operation, whole
