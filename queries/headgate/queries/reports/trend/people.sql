-- Users of each operation and of all together (whole = 1), how many of them came in two calendar weeks that follow one
-- another, and how many had their first day, as far as is remembered, in the window. A user's weeks are counted from
-- the week that the window begins in, 1: no year's weeks are another's; 0 is all days before the window's first. 63 of
-- them reach further back than users are kept. Operations are bits, 64 to a word (usage.users). Rows are grouped by
-- user, word and eight weeks, with the operations of each week in a word of its own: what somebody used in two weeks are
-- the bits that both words have. So there are a hundred thousand groups instead of millions.
WITH
    indexOf(
        ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], {week_start:String}) - 1 AS first_day,
    intDiv(toInt32(toDate({since:DateTime64(9, 'UTC')}, {timezone:String})) + 3 - first_day, 7) AS first_week,
    toStartOfDay({since:DateTime64(9, 'UTC')}, 'UTC') AS begin,
    toUInt8(if(Time < begin, 0, 1 + greatest(0,
        intDiv(toInt32(toDate(Time, {timezone:String})) + 3 - first_day, 7) - first_week))) AS week_of,
    {operation_bits:With},
    bitShiftLeft(toUInt64(1), number % 64) AS operation_bit
SELECT
    if(whole, '', known.2[word * 64 + bit]) AS service,
    if(whole, '', known.3[word * 64 + bit]) AS operation,
    whole,
    arrivals,
    retained,
    newcomers
FROM
(
    SELECT
        part.1 AS word,
        grouping(word) = 1 AS whole,
        if(whole, [countIf(first AND weeks != 0)],
            sumForEach(arrayMap(bit -> bitTest(part.2, bit), range(bits)))) AS every_arrivals,
        if(whole, [countIf(first AND bitAnd(weeks, bitShiftRight(weeks, 1)) != 0)],
            sumForEach(arrayMap(bit -> bitTest(part.3, bit), range(bits)))) AS every_retained,
        if(whole, [countIf(first AND weeks != 0 AND NOT before)],
            sumForEach(arrayMap(bit -> bitTest(part.4, bit), range(bits)))) AS every_newcomers
    FROM
    (
        SELECT
            groupBitOr(user_weeks) AS weeks,
            max(earlier != 0) AS before,
            groupArray((word, used, again, bitAnd(used, bitNot(earlier)))) AS words
        FROM
        (
            SELECT
                any(somebody) AS user,
                any(intDiv(place, 8)) AS word,
                groupBitOr(bitOr(bitOr(bitOr(w0, w1), bitOr(w2, w3)), bitOr(bitOr(w4, w5), bitOr(w6, w7)))) AS used,
                groupBitOrIf(week_0, place % 8 = 0) AS earlier,
                arraySort(groupArray((place % 8, w0, w7))) AS blocks,
                bitOr(
                    groupBitOr(bitOr(
                        bitOr(bitOr(bitAnd(w0, w1), bitAnd(w1, w2)), bitOr(bitAnd(w2, w3), bitAnd(w3, w4))),
                        bitOr(bitOr(bitAnd(w4, w5), bitAnd(w5, w6)), bitAnd(w6, w7)))),
                    arrayReduce('groupBitOr', arrayMap(
                        (this, next) -> if(next.1 = this.1 + 1, bitAnd(this.3, next.2), 0),
                        arrayPopBack(blocks), arrayPopFront(blocks)))) AS again,
                groupBitOr(bitShiftLeft(
                    toUInt64((w0 != 0) + 2 * (w1 != 0) + 4 * (w2 != 0) + 8 * (w3 != 0)
                        + 16 * (w4 != 0) + 32 * (w5 != 0) + 64 * (w6 != 0) + 128 * (w7 != 0)),
                    place % 8 * 8)) AS user_weeks
            FROM
            (
                SELECT
                    any(UserHash) AS somebody,
                    bitXor(UserHash, bitShiftLeft(intDiv(toUInt64(number), 64) * 8 + intDiv(week_of, 8), 40)) AS key,
                    bitShiftRight(bitXor(key, somebody), 40) AS place,
                    groupBitOrIf(operation_bit, week_of % 8 = 0) AS week_0,
                    groupBitOrIf(operation_bit, week_of % 8 = 1) AS w1,
                    groupBitOrIf(operation_bit, week_of % 8 = 2) AS w2,
                    groupBitOrIf(operation_bit, week_of % 8 = 3) AS w3,
                    groupBitOrIf(operation_bit, week_of % 8 = 4) AS w4,
                    groupBitOrIf(operation_bit, week_of % 8 = 5) AS w5,
                    groupBitOrIf(operation_bit, week_of % 8 = 6) AS w6,
                    groupBitOrIf(operation_bit, week_of % 8 = 7) AS w7,
                    if(place % 8 = 0, 0, week_0) AS w0
                FROM {history:Identifier}
                WHERE UserHash != 0
                    AND Time < {until:DateTime64(9, 'UTC')}
                    AND (Time < begin OR Time >= {since:DateTime64(9, 'UTC')})
                    AND ({service:String} = '' OR ServiceName = {service:String})
                    AND ({operation:String} = '' OR Operation = {operation:String})
                GROUP BY key
            )
            GROUP BY bitXor(somebody, bitShiftLeft(intDiv(place, 8), 40))
        )
        GROUP BY user
    )
    ARRAY JOIN words AS part, arrayMap(place -> place = 1, arrayEnumerate(words)) AS first
    GROUP BY GROUPING SETS ((word), ())
)
ARRAY JOIN
    every_arrivals AS arrivals,
    every_retained AS retained,
    every_newcomers AS newcomers,
    range(if(whole, 1, bits)) AS bit
WHERE whole OR (arrivals > 0 AND word * 64 + bit > 0)
