-- Who did what to what, from where. Entries are added and never changed; each carries the hash of all before it.

CREATE TABLE audit_entry (
    id        bigint PRIMARY KEY CHECK (id > 0),
    at        timestamptz NOT NULL,
    actor     text NOT NULL,
    action    text NOT NULL,
    subject   text NOT NULL,
    tenant_id integer,
    address   text,
    outcome   text NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    detail    text NOT NULL,
    hash      bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE INDEX audit_entry_tenant ON audit_entry (tenant_id, id);
COMMENT ON COLUMN audit_entry.detail IS 'JSON, as the text that was hashed';
COMMENT ON COLUMN audit_entry.tenant_id IS 'kept when the tenant is gone, therefore no reference; null for the installation''s own';

-- The last entry. Whoever enters one locks this row, so numbers have no gaps.
CREATE TABLE audit_head (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    id   bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
INSERT INTO audit_head (id, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- Against mistakes. Against whoever owns the database stand the chain and its heads that are told outside.
CREATE FUNCTION keep_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit log are never changed';
END
$$;
CREATE TRIGGER audit_entry_kept BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION keep_audit_entry();
CREATE TRIGGER audit_entry_kept_whole BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_entry();
