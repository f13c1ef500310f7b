-- The first use of each operation (or, with `by`, each value of a dimension) of each service: by quarters of an hour from
-- `quarters_since` on, by days of UTC before it.
SELECT service, operation, toUnixTimestamp(min(first)) AS first_s
FROM
(
    SELECT ServiceName AS service, {label:Identifier} AS operation, min(Time) AS first
    FROM {days:Identifier}
    WHERE Time < {quarters_since:DateTime('UTC')}
        AND {used:Identifier}
        AND ({by:String} = '' OR {kind:Identifier} = {by:String})
    GROUP BY service, operation
    UNION ALL
    SELECT ServiceName AS service, {label:Identifier} AS operation, min(Time) AS first
    FROM {quarters:Identifier}
    WHERE Time >= {quarters_since:DateTime('UTC')}
        AND {used:Identifier}
        AND ({by:String} = '' OR {kind:Identifier} = {by:String})
    GROUP BY service, operation
)
GROUP BY service, operation
