-- Blobs and the addresses of attachments. The bytes are in the media store, sealed chunk by chunk.

-- state: making (not whole), staged (whole, its parts are in blob_part), sealed (whole, its bytes
-- are in the store), dying (its bytes are being removed; nobody sees it any more).
CREATE TABLE blob (
    id          TEXT PRIMARY KEY,
    workspace   TEXT NOT NULL,
    account     TEXT,
    label       TEXT, -- of one that a provider makes
    state       TEXT NOT NULL,
    size        INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    keep_until  INTEGER NOT NULL,
    meta_sealed BLOB NOT NULL -- type, file name, SHA-256, the key of the bytes
) WITHOUT ROWID;
CREATE INDEX blob_by_keep ON blob (keep_until);
CREATE INDEX blob_by_account ON blob (account) WHERE account IS NOT NULL;
CREATE INDEX blob_by_workspace ON blob (workspace);
CREATE INDEX blob_staged ON blob (id) WHERE state = 'staged';
CREATE INDEX blob_dying ON blob (id) WHERE state = 'dying';

-- What a provider appended, until it is in the store.
CREATE TABLE blob_part (
    blob         TEXT NOT NULL,
    part_offset  INTEGER NOT NULL,
    bytes_sealed BLOB NOT NULL,
    PRIMARY KEY (blob, part_offset)
) WITHOUT ROWID;

-- Sends that name a blob, as long as they are kept.
CREATE TABLE blob_use (
    blob TEXT NOT NULL,
    send BLOB NOT NULL,
    PRIMARY KEY (blob, send)
) WITHOUT ROWID;
CREATE INDEX blob_use_by_send ON blob_use (send);

-- Attachments of events that are kept: token is SHA-256 of what stands in the address.
CREATE TABLE attachment (
    token         BLOB PRIMARY KEY,
    account       TEXT NOT NULL,
    position      INTEGER NOT NULL, -- of the event
    blob          TEXT,
    source_sealed BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX attachment_by_position ON attachment (position);
CREATE INDEX attachment_by_account ON attachment (account);
CREATE INDEX attachment_by_blob ON attachment (blob) WHERE blob IS NOT NULL;
