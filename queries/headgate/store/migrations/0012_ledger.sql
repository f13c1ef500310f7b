-- What else is known of received items, whatever their fate. Other: a rollup or this ledger counts them as '__other__',
-- for a service, an operation or a value of a dimension beyond the limits. Corrected: their time was missing, or too far
-- from their arrival to be believed, or a span ended before it began.
ALTER TABLE ledger ADD COLUMN IF NOT EXISTS Other SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1));
ALTER TABLE ledger ADD COLUMN IF NOT EXISTS Corrected SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1));
