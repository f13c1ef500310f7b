-- Distinct users of each operation, and of all together (the row with whole = 1). Operations are bits, 64 to a word, so
-- that rows are grouped by users and words, not by each user of each operation: a hundred thousand groups instead of
-- millions. Operations without a use in the window, whose users are counted by whole days or hours, share bit 0.
WITH
    {operation_bits:With}
SELECT
    if(whole, '', known.2[word * 64 + bit]) AS service,
    if(whole, '', known.3[word * 64 + bit]) AS operation,
    whole,
    users
FROM
(
    SELECT
        word,
        grouping(word) = 1 AS whole,
        uniqExact(user) AS everybody,
        sumForEach(arrayMap(bit -> bitTest(used, bit), range(bits))) AS by_bit
    FROM
    (
        SELECT
            any(UserHash) AS user,
            any(intDiv(number, 64)) AS word,
            groupBitOr(bitShiftLeft(toUInt64(1), number % 64)) AS used
        FROM {users:Identifier}
        WHERE UserHash != 0
            AND Time >= {since:DateTime64(9, 'UTC')}
            AND Time < {until:DateTime64(9, 'UTC')}
            AND ({service:String} = '' OR ServiceName = {service:String})
            AND ({operation:String} = '' OR Operation = {operation:String})
        GROUP BY bitXor(UserHash, intDiv(number, 64))
    )
    GROUP BY GROUPING SETS ((word), ())
)
ARRAY JOIN if(whole, [everybody], by_bit) AS users, range(if(whole, 1, bits)) AS bit
WHERE whole OR (users > 0 AND word * 64 + bit > 0)
