-- Which users each kind of failure met.
SELECT DISTINCT Fingerprint AS fingerprint, UserHash AS user_hash
FROM {events:Identifier}
WHERE Outcome != 'ok'
    AND UserHash != 0
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
    AND ({service:String} = '' OR ServiceName = {service:String})
    AND ({operation:String} = '' OR Operation = {operation:String})
