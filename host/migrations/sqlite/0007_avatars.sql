-- Addresses of pictures in answers: attachments of no event. Their position is -1, and they are kept
-- until then; NULL: as long as their event.
ALTER TABLE attachment ADD COLUMN keep_until INTEGER;
CREATE INDEX attachment_by_keep ON attachment (keep_until) WHERE keep_until IS NOT NULL;
