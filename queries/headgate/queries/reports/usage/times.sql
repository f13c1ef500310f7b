-- Uses by local weekday (0 is Monday) and hour.
SELECT
    toDayOfWeek(Time, 0, {timezone:String}) - 1 AS weekday,
    toHour(Time, {timezone:String}) AS hour,
    sum(CallsAdjusted) AS calls
FROM {usage:Identifier}
WHERE Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY weekday, hour
