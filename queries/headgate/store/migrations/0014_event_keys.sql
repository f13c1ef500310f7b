-- Which attributes rows have, so that a question about a rare one reads only where it is: without it, looking for a
-- quality score that no call has reads all keys of all rows. Rows that are there already get it when they are merged.
ALTER TABLE events ADD INDEX IF NOT EXISTS idx_keys mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1;
