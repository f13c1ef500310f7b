-- A rollup of usage in the shape of raw_usage: it does not tell traces apart, so there is no noise.
SELECT *, CAST([], 'Array(Float64)') AS Noise
FROM {usage_table:Identifier}
