-- When each source was used last, of those that are not known to be in use: what is theirs is not read.
SELECT
    ServiceName AS service,
    Operation AS operation,
    toUnixTimestamp64Nano(toDateTime64(max(Time), 9, 'UTC')) AS last_ns
FROM {usage:Identifier}
WHERE (ServiceName, Operation) NOT IN (
        SELECT arrayJoin(arrayZip({used_services:Array(String)}, {used_operations:Array(String)})))
    AND Entry
    AND Time >= {since:DateTime64(9, 'UTC')}
    AND Time < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
GROUP BY service, operation
