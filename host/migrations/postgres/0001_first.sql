-- The first schema; the same tables as SQLite's. What is sealed and what is plain:
-- `host/src/storage/sql/mod.rs`.
--
-- Ids are text, ordered by their bytes whatever the server's locale; points in time are
-- milliseconds since 1970 and booleans are 0 and 1, both bigint; `*_sealed` columns and fixed-size
-- keys are bytea. No foreign keys: rows of what was deleted are skipped by their readers, and a
-- constraint must not make a whole group of writes fail. Everything is in the schema `anyport`,
-- which is the session's search path.

CREATE TABLE meta (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

-- What a writer last tried to commit, by a token: settles a COMMIT whose answer was lost. One row
-- for each writer of each running host.
CREATE TABLE writer (
    id      BYTEA PRIMARY KEY,
    token   BYTEA NOT NULL,
    used_at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

-- Updated by every commit of events; the space is for new versions of the row on its page.
CREATE TABLE partition (
    id    BIGINT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    head  BIGINT NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Wrapped by the operator's key. Deleting a row makes everything sealed with it unreadable.
CREATE TABLE data_key (
    owner   TEXT COLLATE "C" PRIMARY KEY, -- account:<id>, workspace:<id>
    wrapped BYTEA NOT NULL
);

CREATE TABLE workspace (
    id            TEXT COLLATE "C" PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL,
    status        TEXT COLLATE "C" NOT NULL,
    metadata      TEXT COLLATE "C" NOT NULL,
    account_quota BIGINT
);

CREATE TABLE api_key (
    id        TEXT COLLATE "C" PRIMARY KEY,
    kind      TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C",
    name      TEXT COLLATE "C" NOT NULL,
    prefix    TEXT COLLATE "C" NOT NULL,
    hash      BYTEA NOT NULL UNIQUE,
    active    BIGINT NOT NULL
);

CREATE TABLE account (
    id                   TEXT COLLATE "C" PRIMARY KEY,
    workspace            TEXT COLLATE "C" NOT NULL,
    partition            BIGINT NOT NULL,
    name                 TEXT COLLATE "C" NOT NULL,
    provider             TEXT COLLATE "C" NOT NULL,
    provider_alias       TEXT COLLATE "C" NOT NULL,
    region               TEXT COLLATE "C" NOT NULL,
    status               TEXT COLLATE "C" NOT NULL,
    auth_mode            TEXT COLLATE "C" NOT NULL,
    metadata             TEXT COLLATE "C" NOT NULL,
    config_sealed        BYTEA,
    proxy_sealed         BYTEA,
    profile_sealed       BYTEA,
    last_error_sealed    BYTEA,
    provider_account_ref TEXT COLLATE "C",
    auth_status          TEXT COLLATE "C" NOT NULL,
    wanted               BIGINT NOT NULL,
    provider_digest      TEXT COLLATE "C",
    turn_seq             BIGINT NOT NULL,
    kv_bytes             BIGINT NOT NULL,
    created_at           BIGINT NOT NULL,
    deleted_at           BIGINT
) WITH (fillfactor = 70);
CREATE INDEX account_by_workspace ON account (workspace, created_at);
CREATE INDEX account_by_ref ON account (provider_account_ref) WHERE provider_account_ref IS NOT NULL;

-- Keys are bytea: their order is the order of the bytes, whatever the collation.
CREATE TABLE kv (
    account      TEXT COLLATE "C" NOT NULL,
    key          BYTEA NOT NULL,
    value_sealed BYTEA NOT NULL,
    PRIMARY KEY (account, key)
) WITH (fillfactor = 80);
-- What is sealed does not compress.
ALTER TABLE kv ALTER COLUMN value_sealed SET STORAGE EXTERNAL;

CREATE TABLE secret (
    account      TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    value_sealed BYTEA NOT NULL,
    PRIMARY KEY (account, name)
);

CREATE TABLE timer (
    account        TEXT COLLATE "C" NOT NULL,
    label          TEXT COLLATE "C" NOT NULL,
    due_at         BIGINT NOT NULL,
    context_sealed BYTEA NOT NULL,
    PRIMARY KEY (account, label)
);

-- position = partition * 2^48 + offset.
CREATE TABLE event (
    position    BIGINT PRIMARY KEY,
    account     TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    body_sealed BYTEA NOT NULL
);
ALTER TABLE event ALTER COLUMN body_sealed SET STORAGE EXTERNAL;
CREATE INDEX event_by_id ON event (id);

-- Dedupe keys of emissions, as keyed hashes.
CREATE TABLE dedupe (
    account     TEXT COLLATE "C" NOT NULL,
    key         BYTEA NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (account, key)
);

CREATE TABLE send (
    id              BYTEA PRIMARY KEY,
    workspace       TEXT COLLATE "C" NOT NULL,
    account         TEXT COLLATE "C" NOT NULL,
    partition       BIGINT NOT NULL,
    state           TEXT COLLATE "C" NOT NULL,
    recorded_at     BIGINT NOT NULL,
    dispatched_at   BIGINT,
    settled_at      BIGINT,
    idempotency_key BYTEA, -- as in that table
    outgoing_sealed BYTEA NOT NULL,
    sent_sealed     BYTEA,
    failure_sealed  BYTEA
) WITH (fillfactor = 80);
ALTER TABLE send ALTER COLUMN outgoing_sealed SET STORAGE EXTERNAL;
CREATE INDEX send_by_workspace ON send (workspace, id);
CREATE INDEX send_by_account ON send (account, id);
CREATE INDEX send_unsettled ON send (account, id) WHERE state IN ('recorded', 'dispatched');

-- The channel's message ids of our sends, as keyed hashes.
CREATE TABLE sent_message (
    account TEXT COLLATE "C" NOT NULL,
    message BYTEA NOT NULL,
    send    BYTEA NOT NULL,
    PRIMARY KEY (account, message)
);

CREATE TABLE idempotency (
    workspace   TEXT COLLATE "C" NOT NULL,
    key         BYTEA NOT NULL, -- a keyed hash
    fingerprint BYTEA NOT NULL,
    send        BYTEA NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (workspace, key)
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

CREATE TABLE provider_version (
    digest       TEXT COLLATE "C" PRIMARY KEY,
    provider     TEXT COLLATE "C" NOT NULL,
    version      TEXT COLLATE "C" NOT NULL,
    installed_at BIGINT NOT NULL,
    bytes        BYTEA NOT NULL
);

CREATE TABLE current_provider (
    provider TEXT COLLATE "C" PRIMARY KEY,
    digest   TEXT COLLATE "C" NOT NULL
);

CREATE TABLE endpoint (
    id                TEXT COLLATE "C" PRIMARY KEY,
    workspace         TEXT COLLATE "C" NOT NULL,
    state             TEXT COLLATE "C" NOT NULL,
    state_reason      TEXT COLLATE "C",
    subscribed_events TEXT COLLATE "C" NOT NULL,
    accounts          TEXT COLLATE "C" NOT NULL,
    retry             TEXT COLLATE "C" NOT NULL,
    ordering          TEXT COLLATE "C" NOT NULL,
    created_at        BIGINT NOT NULL,
    target_sealed     BYTEA NOT NULL -- url, secret, secret before
);
CREATE INDEX endpoint_by_workspace ON endpoint (workspace, created_at);

CREATE TABLE cursor (
    endpoint     TEXT COLLATE "C" NOT NULL,
    partition    BIGINT NOT NULL,
    event_offset BIGINT NOT NULL,
    PRIMARY KEY (endpoint, partition)
) WITH (fillfactor = 50);

CREATE TABLE detour (
    endpoint     TEXT COLLATE "C" NOT NULL,
    partition    BIGINT NOT NULL,
    event_offset BIGINT NOT NULL,
    event        TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    attempts     BIGINT NOT NULL,
    next_at      BIGINT NOT NULL,
    since        BIGINT NOT NULL,
    note_sealed  BYTEA NOT NULL, -- ordering key, last error
    PRIMARY KEY (endpoint, partition, event_offset)
) WITH (fillfactor = 80);

CREATE TABLE attempt (
    sequence      BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id            TEXT COLLATE "C" NOT NULL,
    endpoint      TEXT COLLATE "C" NOT NULL,
    event         TEXT COLLATE "C" NOT NULL,
    at            BIGINT NOT NULL,
    number        BIGINT NOT NULL,
    status        BIGINT,
    latency_ms    BIGINT NOT NULL,
    answer_sealed BYTEA NOT NULL -- error, start of the response
);
CREATE INDEX attempt_by_endpoint ON attempt (endpoint, sequence);
CREATE INDEX attempt_by_event ON attempt (event);
