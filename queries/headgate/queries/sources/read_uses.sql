-- Uses of the hours that are read, what they stand for, and the operation (stratum) that they are compared within.
{some_hours:With},
read_uses AS (
    SELECT
        *,
        cityHash64(ServiceName, Operation) AS stratum,
        Outcome != 'ok' AS failed,
        Weight * every AS weight
    FROM {events:Identifier}
    WHERE toStartOfHour(Timestamp, 'UTC') IN hours
        AND Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({operation:String} = '' OR Operation = {operation:String})
)
