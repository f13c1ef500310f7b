-- Usage of the window: by whole days of UTC, and by finer steps before and after them. For statements to which all times
-- of a day are the same.
SELECT *, CAST([], 'Array(Float64)') AS Noise
FROM usage_day AS counted
WHERE counted.Time >= {whole_since:DateTime('UTC')}
    AND counted.Time < {whole_until:DateTime('UTC')}
UNION ALL
SELECT *, CAST([], 'Array(Float64)') AS Noise
FROM {usage_table:Identifier} AS counted
WHERE counted.Time < {whole_since:DateTime('UTC')}
    OR counted.Time >= {whole_until:DateTime('UTC')}
