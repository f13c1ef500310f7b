-- Distinct users of each operation, and of all together (the row with whole = 1). Operations are bits, 64 to a word, so
-- that rows are grouped by users and words, not by each user of each operation: a hundred thousand groups instead of
-- millions. Operations without a use in the window, whose users are counted by whole days or hours, share bit 0. In
-- counts, place 0 is the whole and place 1 bit 0.
WITH
    {operation_bits:With}
SELECT
    if(whole, '', known.2[word * 64 + place - 1]) AS service,
    if(whole, '', known.3[word * 64 + place - 1]) AS operation,
    place = 0 AS whole,
    if(whole, uniqExactMergeIf(everybody, place = 0), sum(counted)) AS users
FROM
(
    SELECT
        word,
        uniqExactState(user) AS everybody,
        arrayConcat([0], sumForEach(arrayMap(bit -> bitTest(used, bit), range(bits)))) AS counts
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
    GROUP BY word
)
ARRAY JOIN
    counts AS counted,
    range(length(counts)) AS place
WHERE whole OR (counted > 0 AND word * 64 + place > 1)
GROUP BY service, operation, whole
