-- Every use: entry spans and named events.
SELECT * FROM span_uses
UNION ALL
SELECT * FROM event_uses
