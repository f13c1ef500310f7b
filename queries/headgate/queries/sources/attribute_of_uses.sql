-- A row where a use of the window has one of the attributes.
SELECT 1
FROM events
WHERE hasAny(mapKeys(Attributes), {keys:Array(String)})
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
LIMIT 1
