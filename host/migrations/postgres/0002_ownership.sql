-- Ownership that changes while hosts run; see SQLite's migration of the same number.

-- Processes that run on this database. A lease is the host's, not the partition's: renewing it is
-- one row that no commit touches, and whoever takes over takes it away in the same transaction.
-- Times are this server's; a host's own clock decides nothing.
CREATE TABLE host (
    process     TEXT COLLATE "C" PRIMARY KEY, -- new with every start
    instance    TEXT COLLATE "C" NOT NULL,    -- of the data directory
    name        TEXT COLLATE "C" NOT NULL,
    started     TIMESTAMPTZ NOT NULL,
    seen        TIMESTAMPTZ NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

-- The process that owns it, as long as it is in `host`.
ALTER TABLE partition ADD COLUMN owner TEXT COLLATE "C";

ALTER TABLE account ADD COLUMN clock_at BIGINT NOT NULL DEFAULT 0;

CREATE TABLE hand_over (
    send      BYTEA PRIMARY KEY,
    workspace TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    partition BIGINT NOT NULL
);
