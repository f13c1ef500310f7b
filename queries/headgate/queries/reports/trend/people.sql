-- Users of each operation and of all together (whole = 1), how many of them came in two calendar weeks that follow one
-- another, and how many had their first day, as far as is remembered, in the window. A user's weeks are counted from
-- the week that the window begins in, 1: no year's weeks are another's; 0 is all days before the window's first. 63 of
-- them reach further back than users are kept. Operations are bits, 64 to a word (usage.users). Rows are grouped by
-- user, word and week, so that what somebody used in two weeks are the bits that both words have: half a million groups
-- instead of several. Everybody is first in one word only, so that the whole may be added up. Of counts, place 0 is the
-- whole and place 1 bit 0.
WITH
    indexOf(
        ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], {week_start:String}) - 1 AS first_day,
    intDiv(toInt32(toDate({since:DateTime64(9, 'UTC')}, {timezone:String})) + 3 - first_day, 7) AS first_week,
    toUInt8(greatest(0,
        1 + intDiv(toInt32(toDate(Time, {timezone:String})) + 3 - first_day, 7) - first_week)) AS week_of,
    {operation_bits:With}
SELECT
    if(whole, '', known.2[word * 64 + place - 1]) AS service,
    if(whole, '', known.3[word * 64 + place - 1]) AS operation,
    place = 0 AS whole,
    sum(came) AS arrivals,
    sum(back) AS retained,
    sum(new) AS newcomers
FROM
(
    SELECT
        part.1 AS word,
        arrayConcat([countIf(first AND weeks != 0)],
            sumForEach(arrayMap(bit -> bitTest(part.2, bit), range(bits)))) AS came_by,
        arrayConcat([countIf(first AND bitAnd(weeks, bitShiftRight(weeks, 1)) != 0)],
            sumForEach(arrayMap(bit -> bitTest(part.3, bit), range(bits)))) AS back_by,
        arrayConcat([countIf(first AND weeks != 0 AND NOT before)],
            sumForEach(arrayMap(bit -> bitTest(part.4, bit), range(bits)))) AS new_by
    FROM
    (
        SELECT
            groupBitOr(weeks_of) AS weeks,
            max(earlier != 0) AS before,
            groupArray((word, used, again, bitAnd(used, bitNot(earlier)))) AS words
        FROM
        (
            SELECT
                any(user) AS person,
                any(intDiv(place, 64)) AS word,
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
                    any(UserHash) AS user,
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
    ARRAY JOIN words AS part, arrayMap(place -> place = 1, arrayEnumerate(words)) AS first
    GROUP BY word
)
ARRAY JOIN
    came_by AS came,
    back_by AS back,
    new_by AS new,
    range(length(came_by)) AS place
WHERE whole OR (came > 0 AND word * 64 + place > 1)
GROUP BY service, operation, whole
