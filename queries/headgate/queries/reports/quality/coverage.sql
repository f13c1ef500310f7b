-- How many rows of uses say whose they are, and how many failures say why.
SELECT
    count() AS arrivals,
    sum(Weight) AS calls,
    sum(Weight * (Weight - 1)) AS variance,
    sumIf(Weight, UserHash = 0) AS without_user,
    sumIf(Weight * (Weight - 1), UserHash = 0) AS without_user_variance,
    sumIf(Weight, NOT HasSession) AS without_session,
    sumIf(Weight * (Weight - 1), NOT HasSession) AS without_session_variance,
    sumIf(Weight, Outcome != 'ok') AS failures,
    sumIf(Weight, Outcome != 'ok' AND ErrorType = '') AS untyped,
    sumIf(Weight * (Weight - 1), Outcome != 'ok' AND ErrorType = '') AS untyped_variance
FROM {events:Identifier}
WHERE Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
