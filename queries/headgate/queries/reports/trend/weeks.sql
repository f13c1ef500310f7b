-- Users of each operation and of all together (whole = 1), and how many of them came in two calendar weeks that
-- follow one another. A user's weeks are bits, counted from the week that the window begins in: no year's weeks are
-- another's. 64 of them reach further back than users are kept.
WITH
    indexOf(
        ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], {week_start:String}) - 1 AS first_day,
    intDiv(toInt32(toDate({since:DateTime64(9, 'UTC')}, {timezone:String})) + 3 - first_day, 7) AS first_week
SELECT
    service,
    operation,
    whole,
    count() AS arrivals,
    countIf(bitAnd(weeks, bitShiftRight(weeks, 1)) != 0) AS retained
FROM
(
    SELECT
        ServiceName AS service,
        Operation AS operation,
        grouping(ServiceName) AS whole,
        groupBitOr(bitShiftLeft(toUInt64(1), toUInt8(greatest(0,
            intDiv(toInt32(toDate(Time, {timezone:String})) + 3 - first_day, 7) - first_week)))) AS weeks
    FROM {users:Identifier}
    WHERE UserHash != 0
        AND Time >= {since:DateTime64(9, 'UTC')}
        AND Time < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
    GROUP BY GROUPING SETS ((ServiceName, Operation, UserHash), (UserHash))
)
GROUP BY service, operation, whole
