-- Users of each operation and of all together (whole = 1), how many of them came in two calendar weeks that follow one
-- another, and how many had their first day, as far as is remembered, in the window. A user's weeks are counted from
-- the week that the window begins in, 1: no year's weeks are another's; 0 is all days before the window's first. There
-- is room for 63, more than users are kept for: in a longer window all weeks before its last 63 are one. Operations are
-- bits, 64 to a word (usage.users). Rows are grouped by user, word and week, so that what somebody used in two weeks
-- are the bits that both words have: half a million groups instead of several. What all rows of a group share is read
-- by groupBitOr, whose state is half that of any. Everybody is first in one word only, so that the whole may be added
-- up. Bit 64 is the whole.
WITH
    indexOf(
        ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], {week_start:String}) - 1 AS first_day,
    toUInt16(10 - first_day) AS shift,
    intDiv(toUInt16(toDate(Time, {timezone:String})) + shift, 7) AS week,
    toUInt16(greatest(
        toInt32(intDiv(toUInt16(toDate({since:DateTime64(9, 'UTC')}, {timezone:String})) + shift, 7)) - 1,
        toInt32(intDiv(toUInt16(toDate({until:DateTime64(9, 'UTC')}, {timezone:String})) + shift, 7)) - 63)) AS week_before,
    toUInt8(if(week < 2, 0, greatest(week_before + 1, week) - week_before)) AS week_of,
    {operation_bits:With}
SELECT
    if(whole, '', known.2[word * 64 + bit]) AS service,
    if(whole, '', known.3[word * 64 + bit]) AS operation,
    bit = 64 AS whole,
    sum(came) AS arrivals,
    sum(back) AS retained,
    sum(new) AS newcomers
FROM
(
    SELECT
        part.1 AS word,
        bit,
        sum(if(bit = 64, first AND weeks != 0, bitTest(part.2, bit % 64))) AS came,
        sum(if(bit = 64, first AND bitAnd(weeks, bitShiftRight(weeks, 1)) != 0, bitTest(part.3, bit % 64))) AS back,
        sum(if(bit = 64, first AND weeks != 0 AND NOT before, bitTest(part.4, bit % 64))) AS new
    FROM
    (
        SELECT
            groupBitOr(weeks_of) AS weeks,
            max(earlier != 0) AS before,
            groupArray((word, used, again, bitAnd(used, bitNot(earlier)))) AS words
        FROM
        (
            SELECT
                groupBitOr(user) AS person,
                groupBitOr(intDiv(place, 64)) AS word,
                groupBitOrIf(operations, place % 64 != 0) AS used,
                groupBitOrIf(operations, place % 64 = 0) AS earlier,
                groupBitOrIf(bitShiftLeft(toUInt64(1), place % 64), place % 64 != 0) AS weeks_of,
                arraySort(groupArrayIf((place, operations), place % 64 != 0)) AS by_week,
                arrayReduce('groupBitOr', arrayMap(
                    (this, next) -> if(next.1 = this.1 + 1, bitAnd(this.2, next.2), 0),
                    arrayPopBack(by_week), arrayPopFront(by_week))) AS again
            FROM
            (
                SELECT
                    groupBitOr(UserHash) AS user,
                    bitShiftRight(bitXor(key, user), 40) AS place,
                    groupBitOr(bitShiftLeft(toUInt64(1), bitAnd(number, 63))) AS operations
                FROM {history:Identifier}
                WHERE UserHash != 0
                    AND ({service:String} = '' OR ServiceName = {service:String})
                    AND ({operation:String} = '' OR Operation = {operation:String})
                GROUP BY bitXor(UserHash, bitShiftLeft(
                    bitShiftLeft(toUInt64(bitShiftRight(number, 6)), 6) + week_of, 40)) AS key
            )
            GROUP BY bitXor(user, bitShiftLeft(intDiv(place, 64), 40))
        )
        GROUP BY person
    )
    ARRAY JOIN words AS part, arrayMap(number -> number = 1, arrayEnumerate(words)) AS first
    ARRAY JOIN arrayConcat(range(bits), [64]) AS bit
    GROUP BY word, bit
)
WHERE whole OR (came > 0 AND word * 64 + bit > 0)
GROUP BY service, operation, whole
