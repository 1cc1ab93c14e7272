-- Keys with permissions, expiry and rotation; what the operator says at run time; usage.

ALTER TABLE api_key ADD COLUMN permissions TEXT NOT NULL DEFAULT 'all';
ALTER TABLE api_key ADD COLUMN account TEXT;
ALTER TABLE api_key ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_key ADD COLUMN expires_at INTEGER;
ALTER TABLE api_key ADD COLUMN previous_hash BLOB;
ALTER TABLE api_key ADD COLUMN previous_until INTEGER;
ALTER TABLE api_key ADD COLUMN rate_per_second INTEGER;
ALTER TABLE api_key ADD COLUMN rate_burst INTEGER;
CREATE INDEX api_key_by_previous ON api_key (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX api_key_by_workspace ON api_key (workspace);

-- Network policy, grants and configuration of providers, by name.
CREATE TABLE setting (
    name         TEXT PRIMARY KEY,
    value_sealed BLOB NOT NULL
) WITHOUT ROWID;

-- day: since 1970-01-01, UTC.
CREATE TABLE usage (
    workspace TEXT NOT NULL,
    account   TEXT NOT NULL,
    day       INTEGER NOT NULL,
    turns     INTEGER NOT NULL,
    cpu_us    INTEGER NOT NULL,
    events    INTEGER NOT NULL,
    sends     INTEGER NOT NULL,
    bytes_in  INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    PRIMARY KEY (workspace, account, day)
) WITHOUT ROWID;
