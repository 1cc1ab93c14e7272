-- Keys with permissions, expiry and rotation; what the operator says at run time; usage.

ALTER TABLE api_key ADD COLUMN permissions TEXT COLLATE "C" NOT NULL DEFAULT 'all';
ALTER TABLE api_key ADD COLUMN account TEXT COLLATE "C";
ALTER TABLE api_key ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN last_used_at BIGINT;
ALTER TABLE api_key ADD COLUMN expires_at BIGINT;
ALTER TABLE api_key ADD COLUMN previous_hash BYTEA;
ALTER TABLE api_key ADD COLUMN previous_until BIGINT;
ALTER TABLE api_key ADD COLUMN rate_per_second BIGINT;
ALTER TABLE api_key ADD COLUMN rate_burst BIGINT;
CREATE INDEX api_key_by_previous ON api_key (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX api_key_by_workspace ON api_key (workspace);

-- Network policy, grants and configuration of providers, by name.
CREATE TABLE setting (
    name         TEXT COLLATE "C" PRIMARY KEY,
    value_sealed BYTEA NOT NULL
);

-- day: since 1970-01-01, UTC.
CREATE TABLE usage (
    workspace TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    day       BIGINT NOT NULL,
    turns     BIGINT NOT NULL,
    cpu_us    BIGINT NOT NULL,
    events    BIGINT NOT NULL,
    sends     BIGINT NOT NULL,
    bytes_in  BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    PRIMARY KEY (workspace, account, day)
);
