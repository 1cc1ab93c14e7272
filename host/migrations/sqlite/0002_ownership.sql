-- Ownership that changes while hosts run. On SQLite the file lock is the lease, so there are no
-- owners to record; PostgreSQL has them, in tables of the same names.

-- Always NULL here.
ALTER TABLE partition ADD COLUMN owner TEXT;

-- The latest time that the account's provider may have seen: its clock never runs backwards.
ALTER TABLE account ADD COLUMN clock_at INTEGER NOT NULL DEFAULT 0;

-- Sends that were recorded by a host which did not own the account: its owner takes them from here.
CREATE TABLE hand_over (
    send      BLOB PRIMARY KEY,
    workspace TEXT NOT NULL,
    account   TEXT NOT NULL,
    partition INTEGER NOT NULL
) WITHOUT ROWID;
