-- Raw spans of a table that has our weight of a row.
SELECT *
FROM otel_traces
