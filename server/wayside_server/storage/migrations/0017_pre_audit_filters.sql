-- wayside: no-transaction
-- What the audit log is asked for: without these every question reads all of it. An index that was interrupted is left
-- invalid, so each is made anew.

DROP INDEX IF EXISTS audit_entry_actor;
CREATE INDEX CONCURRENTLY audit_entry_actor ON audit_entry (actor text_pattern_ops, id);
DROP INDEX IF EXISTS audit_entry_action;
CREATE INDEX CONCURRENTLY audit_entry_action ON audit_entry (action text_pattern_ops, id);
DROP INDEX IF EXISTS audit_entry_subject;
CREATE INDEX CONCURRENTLY audit_entry_subject ON audit_entry (subject text_pattern_ops, id);
DROP INDEX IF EXISTS audit_entry_at;
CREATE INDEX CONCURRENTLY audit_entry_at ON audit_entry (at);
