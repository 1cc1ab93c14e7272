-- The version of the operator's key that wraps it. In `meta`: `operator_check` (of the newest key),
-- `operator_version` (of that key; 1 if absent), and while a rotation goes on
-- `operator_check_before`. Nobody can make a key of its check value.
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
