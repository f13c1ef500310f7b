-- Every use of a session or a user, in order. session identifies either (named = 1: by its id). Beyond half a million
-- uses one session in `one_in` is read, whole: what sessions do cannot be told from some of their uses.
WITH
    {every:With},
    if(SessionId != '', cityHash64(SessionId), UserHash) AS actor
SELECT
    actor AS session,
    SessionId != '' AS named,
    toUnixTimestamp64Nano(Timestamp) AS time_ns,
    cityHash64(ServiceName, Operation) AS step,
    Outcome = 'ok' AS well,
    Duration AS duration_ns,
    Weight AS weight,
    every AS one_in
FROM {events:Identifier}
WHERE (SessionId != '' OR UserHash != 0)
    AND intHash64(actor) % every = 0
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
ORDER BY session, named, time_ns
