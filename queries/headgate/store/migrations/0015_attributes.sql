-- Attributes are what most questions that rollups can't answer read, and unpacking them is most of what those take: LZ4
-- unpacks them several times as fast as ZSTD and merges them in half the time, for a sixth to a third more disk. Rows that
-- are there already are packed so when they are merged.
ALTER TABLE events MODIFY COLUMN Attributes CODEC(LZ4);

ALTER TABLE otel_traces MODIFY COLUMN SpanAttributes CODEC(LZ4);
