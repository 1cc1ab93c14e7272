-- The first schema. What is sealed and what is plain: `host/src/storage/sql/mod.rs`.
--
-- Written so that the PostgreSQL schema can be the same tables: ids are text, points in time are
-- milliseconds since 1970 (bigint), `*_sealed` columns and fixed-size keys are blob (bytea),
-- booleans are 0 and 1. No foreign keys: rows of what was deleted are skipped by their readers,
-- and a constraint must not make a whole group of writes fail.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE partition (
    id    INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    head  INTEGER NOT NULL
);

-- Wrapped by the operator's key. Deleting a row makes everything sealed with it unreadable.
CREATE TABLE data_key (
    owner   TEXT PRIMARY KEY, -- account:<id>, workspace:<id>
    wrapped BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE workspace (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL,
    metadata      TEXT NOT NULL,
    account_quota INTEGER
);

CREATE TABLE api_key (
    id        TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    workspace TEXT,
    name      TEXT NOT NULL,
    prefix    TEXT NOT NULL,
    hash      BLOB NOT NULL UNIQUE,
    active    INTEGER NOT NULL
);

CREATE TABLE account (
    id                   TEXT PRIMARY KEY,
    workspace            TEXT NOT NULL,
    partition          INTEGER NOT NULL,
    name                 TEXT NOT NULL,
    provider             TEXT NOT NULL,
    provider_alias       TEXT NOT NULL,
    region               TEXT NOT NULL,
    status               TEXT NOT NULL,
    auth_mode            TEXT NOT NULL,
    metadata             TEXT NOT NULL,
    config_sealed        BLOB,
    proxy_sealed         BLOB,
    profile_sealed       BLOB,
    last_error_sealed    BLOB,
    provider_account_ref TEXT,
    auth_status          TEXT NOT NULL,
    wanted               INTEGER NOT NULL,
    provider_digest      TEXT,
    turn_seq             INTEGER NOT NULL,
    kv_bytes             INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    deleted_at           INTEGER
);
CREATE INDEX account_by_workspace ON account (workspace, created_at);
CREATE INDEX account_by_ref ON account (provider_account_ref) WHERE provider_account_ref IS NOT NULL;

-- Keys are blobs: their order is the order of the bytes, whatever the collation.
CREATE TABLE kv (
    account      TEXT NOT NULL,
    key          BLOB NOT NULL,
    value_sealed BLOB NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE secret (
    account      TEXT NOT NULL,
    name         TEXT NOT NULL,
    value_sealed BLOB NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

CREATE TABLE timer (
    account        TEXT NOT NULL,
    label          TEXT NOT NULL,
    due_at         INTEGER NOT NULL,
    context_sealed BLOB NOT NULL,
    PRIMARY KEY (account, label)
) WITHOUT ROWID;

-- position = partition * 2^48 + offset.
CREATE TABLE event (
    position    INTEGER PRIMARY KEY,
    account     TEXT NOT NULL,
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    body_sealed BLOB NOT NULL
);
CREATE INDEX event_by_id ON event (id);

-- Dedupe keys of emissions, as keyed hashes.
CREATE TABLE dedupe (
    account     TEXT NOT NULL,
    key         BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE send (
    id              BLOB PRIMARY KEY,
    workspace       TEXT NOT NULL,
    account         TEXT NOT NULL,
    partition     INTEGER NOT NULL,
    state           TEXT NOT NULL,
    recorded_at     INTEGER NOT NULL,
    dispatched_at   INTEGER,
    settled_at      INTEGER,
    idempotency_key BLOB, -- as in that table
    outgoing_sealed BLOB NOT NULL,
    sent_sealed     BLOB,
    failure_sealed  BLOB
);
CREATE INDEX send_by_workspace ON send (workspace, id);
CREATE INDEX send_by_account ON send (account, id);
CREATE INDEX send_unsettled ON send (account, id) WHERE state IN ('recorded', 'dispatched');

-- The channel's message ids of our sends, as keyed hashes.
CREATE TABLE sent_message (
    account TEXT NOT NULL,
    message BLOB NOT NULL,
    send    BLOB NOT NULL,
    PRIMARY KEY (account, message)
) WITHOUT ROWID;

CREATE TABLE idempotency (
    workspace   TEXT NOT NULL,
    key         BLOB NOT NULL, -- a keyed hash
    fingerprint BLOB NOT NULL,
    send        BLOB NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (workspace, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

CREATE TABLE provider_version (
    digest       TEXT PRIMARY KEY,
    provider     TEXT NOT NULL,
    version      TEXT NOT NULL,
    installed_at INTEGER NOT NULL,
    bytes        BLOB NOT NULL
);

CREATE TABLE current_provider (
    provider TEXT PRIMARY KEY,
    digest   TEXT NOT NULL
);

CREATE TABLE endpoint (
    id                TEXT PRIMARY KEY,
    workspace         TEXT NOT NULL,
    state             TEXT NOT NULL,
    state_reason      TEXT,
    subscribed_events TEXT NOT NULL,
    accounts          TEXT NOT NULL,
    retry             TEXT NOT NULL,
    ordering          TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    target_sealed     BLOB NOT NULL -- url, secret, secret before
);
CREATE INDEX endpoint_by_workspace ON endpoint (workspace, created_at);

CREATE TABLE cursor (
    endpoint       TEXT NOT NULL,
    partition    INTEGER NOT NULL,
    event_offset   INTEGER NOT NULL,
    PRIMARY KEY (endpoint, partition)
) WITHOUT ROWID;

CREATE TABLE detour (
    endpoint     TEXT NOT NULL,
    partition  INTEGER NOT NULL,
    event_offset INTEGER NOT NULL,
    event        TEXT NOT NULL,
    state        TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    next_at      INTEGER NOT NULL,
    since        INTEGER NOT NULL,
    note_sealed  BLOB NOT NULL, -- ordering key, last error
    PRIMARY KEY (endpoint, partition, event_offset)
) WITHOUT ROWID;

CREATE TABLE attempt (
    sequence      INTEGER PRIMARY KEY,
    id            TEXT NOT NULL,
    endpoint      TEXT NOT NULL,
    event         TEXT NOT NULL,
    at            INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    status        INTEGER,
    latency_ms    INTEGER NOT NULL,
    answer_sealed BLOB NOT NULL -- error, start of the response
);
CREATE INDEX attempt_by_endpoint ON attempt (endpoint);
CREATE INDEX attempt_by_event ON attempt (event);
