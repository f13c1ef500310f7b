-- Users of each operation and of all together (whole = 1) whose first day, as far as is remembered, is in the window.
SELECT
    service,
    operation,
    whole,
    count() AS arrivals
FROM
(
    SELECT
        ServiceName AS service,
        Operation AS operation,
        grouping(ServiceName) AS whole
    FROM {history:Identifier}
    WHERE UserHash != 0
        AND Time < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
    GROUP BY GROUPING SETS ((ServiceName, Operation, UserHash), (UserHash))
    HAVING min(Time) >= toStartOfDay({since:DateTime64(9, 'UTC')}, 'UTC')
)
GROUP BY service, operation, whole
