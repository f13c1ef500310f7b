-- Every use where log records are not kept or carry no event names.
SELECT * FROM span_uses
