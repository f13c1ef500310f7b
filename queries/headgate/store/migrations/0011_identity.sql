-- The rules by which a use has a user and a session, a row a change; the latest are in force. The first attribute counts
-- whose value names somebody, a use's own before its resource's; the values in Nobody, and the empty one, name nobody.
-- Reports that derive users from raw rows follow them. No rows: `user.id` and `enduser.id`, `session.id`.
CREATE TABLE IF NOT EXISTS identity_rule
(
    Time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    UserAttributes Array(String) CODEC(ZSTD(1)),
    SessionAttributes Array(String) CODEC(ZSTD(1)),
    Nobody Array(String) CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY Time
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 1000;
