-- Operator keys that some data key is wrapped with: one, and two while a rotation goes on. Each is
-- known by a check value, from which nobody can make it.
CREATE TABLE operator_key (
    version     INTEGER PRIMARY KEY,
    check_value BLOB NOT NULL
);
INSERT INTO operator_key (version, check_value)
    SELECT 1, value FROM meta WHERE name = 'operator_check';
DELETE FROM meta WHERE name = 'operator_check';

-- Owners: account:<id>, workspace:<id>, host:tokens.
ALTER TABLE data_key ADD COLUMN key_version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX data_key_by_version ON data_key (key_version);

-- Offset of the last event that retention has removed.
ALTER TABLE partition ADD COLUMN tail INTEGER NOT NULL DEFAULT 0;

-- Deleting an account is a state: asked for, then its key is destroyed (deleted_at), then what it
-- left is removed little by little.
ALTER TABLE account ADD COLUMN deleting_at INTEGER;
ALTER TABLE account ADD COLUMN swept_at INTEGER;
-- Was up when a backup was made of which this is a copy; starts when an operator says so.
ALTER TABLE account ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
CREATE INDEX account_deleting ON account (id) WHERE deleting_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX account_unswept ON account (id) WHERE deleted_at IS NOT NULL AND swept_at IS NULL;
CREATE INDEX account_held ON account (id) WHERE held <> 0;

-- What names a send goes with it.
CREATE INDEX sent_message_by_send ON sent_message (send);
