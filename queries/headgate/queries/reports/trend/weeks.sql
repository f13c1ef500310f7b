-- Users of each operation and of all together (whole = 1), and how many of them came in two calendar weeks that
-- follow one another. Weeks are numbered from the week start before 1970 on: no year's weeks are another's.
WITH indexOf(
    ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], {week_start:String}) - 1 AS first_day
SELECT
    service,
    operation,
    whole,
    count() AS arrivals,
    countIf(arrayExists(week -> has(weeks, week + 1), weeks)) AS retained
FROM
(
    SELECT
        ServiceName AS service,
        Operation AS operation,
        grouping(ServiceName) AS whole,
        groupUniqArray(intDiv(toInt32(toDate(Time, {timezone:String})) + 3 - first_day, 7)) AS weeks
    FROM {users:Identifier}
    WHERE UserHash != 0
        AND Time >= {since:DateTime64(9, 'UTC')}
        AND Time < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
    GROUP BY GROUPING SETS ((ServiceName, Operation, UserHash), (UserHash))
)
GROUP BY service, operation, whole
