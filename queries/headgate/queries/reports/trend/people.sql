-- Users of each operation and of all together (whole = 1), how many of them came in two calendar weeks that follow one
-- another, and how many had their first day, as far as is remembered, in the window. A user's weeks are counted from
-- the week that the window begins in, 1: no year's weeks are another's; 0 is all days before the window's first. There
-- is room for 63, more than users are kept for: in a longer window all weeks before its last 63 are one. Operations are
-- bits, 63 to a word (usage.users). Rows are grouped by user, word and week, so that what somebody used in two weeks
-- are the bits that both words have: half a million groups instead of several. What all rows of a group share is read
-- by groupBitOr, whose state is half that of any. Bit 0 of everybody's first word is the whole. How many have a bit is
-- read from how many have each value of its byte, of the three kinds of words: they came, they came back, they are new.
WITH
    indexOf(
        ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], {week_start:String}) - 1 AS first_day,
    toUInt16(10 - first_day) AS shift,
    intDiv(toUInt16(toDate(Time, {timezone:String})) + shift, 7) AS week,
    toUInt16(greatest(
        toInt32(intDiv(toUInt16(toDate({since:DateTime64(9, 'UTC')}, {timezone:String})) + shift, 7)) - 1,
        toInt32(intDiv(toUInt16(toDate({until:DateTime64(9, 'UTC')}, {timezone:String})) + shift, 7)) - 63)) AS week_before,
    {operation_bits:With}
SELECT
    label.1 AS service,
    label.2 AS operation,
    whole,
    sumIf(people, kind = 0) AS arrivals,
    sumIf(people, kind = 1) AS retained,
    sumIf(people, kind = 2) AS newcomers
FROM
(
    SELECT
        people,
        bitAnd(bitShiftRight(key, 11), 3) AS kind,
        bitAnd(bitShiftRight(key, 8), 7) * 8 + bit_of_byte AS bit,
        bit = 0 AS whole,
        if(whole, 0, bitShiftRight(key, 13) * 63 + bit - 1) AS number,
        known.3[number] AS label
    FROM
    (
        SELECT
            bitOr(bitShiftLeft(toUInt32(part.1) * 32 + kind * 8 + nth, 8), bitAnd(bitShiftRight(bits, nth * 8), 255)) AS key,
            sum(1) AS people
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
                    groupBitOr(intDiv(word_week, 64)) AS word,
                    groupBitOrIf(operations, word_week % 64 != 0) AS used,
                    groupBitOrIf(operations, word_week % 64 = 0) AS earlier,
                    groupBitOrIf(bitShiftLeft(toUInt64(1), word_week % 64), word_week % 64 != 0) AS weeks_of,
                    groupArrayIf(word_week, word_week % 64 != 0) AS times,
                    arraySort((_, time) -> time, groupArrayIf(operations, word_week % 64 != 0), times) AS sets,
                    arraySort(times) AS ordered,
                    arrayReduce('groupBitOr', arrayMap(
                        (this, next, time, later) -> bitAnd(this, next) * (later = time + 1),
                        arrayPopBack(sets), arrayPopFront(sets), arrayPopBack(ordered), arrayPopFront(ordered))) AS again
                FROM
                (
                    SELECT
                        groupBitOr(UserHash) AS user,
                        bitShiftRight(bitXor(key, user), 40) AS word_week,
                        groupBitOr(bitShiftLeft(toUInt64(1), bitAnd(its_place, 63))) AS operations
                    FROM
                    (
                        SELECT
                            UserHash,
                            place AS its_place,
                            toUInt8(if(week < 2, 0, greatest(week_before + 1, week) - week_before)) AS week_of
                        FROM {history:Identifier}
                        WHERE UserHash != 0
                            AND ({service:String} = '' OR ServiceName = {service:String})
                            AND ({operation:String} = '' OR Operation = {operation:String})
                    )
                    GROUP BY bitXor(UserHash, bitShiftLeft(toUInt64(bitAnd(its_place, 4294967232) + week_of), 40)) AS key
                )
                GROUP BY bitXor(user, bitShiftLeft(intDiv(word_week, 64), 40))
            )
            GROUP BY person
        )
        ARRAY JOIN words AS part, arrayMap(number -> number = 1, arrayEnumerate(words)) AS first
        ARRAY JOIN
            [
                bitOr(part.2, first AND weeks != 0),
                bitOr(part.3, first AND bitAnd(weeks, bitShiftRight(weeks, 1)) != 0),
                bitOr(part.4, first AND weeks != 0 AND NOT before)
            ] AS bits,
            [0, 1, 2] AS kind
        ARRAY JOIN range(8) AS nth
        GROUP BY key
    )
    ARRAY JOIN range(8) AS bit_of_byte
    WHERE bitTest(bitAnd(key, 255), bit_of_byte)
)
WHERE whole OR number > 0
GROUP BY label, whole
HAVING arrivals > 0
