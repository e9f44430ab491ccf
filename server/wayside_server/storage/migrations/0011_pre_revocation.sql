-- Revoked devices and certificates, the list that brokers read, and what audits have said already.

ALTER TABLE device
    ADD COLUMN revoked_at       timestamptz,
    ADD COLUMN revoked_reason   text,
    ADD COLUMN revoked_by       text,
    ADD COLUMN session_ended_at timestamptz;
COMMENT ON COLUMN device.revoked_at IS 'since then nothing that it sends is stored; null when it is in good standing';
COMMENT ON COLUMN device.session_ended_at IS 'when the session that it had with the broker was ended after its revocation';
CREATE INDEX device_session_to_end ON device (id) WHERE revoked_at IS NOT NULL AND session_ended_at IS NULL;

ALTER TABLE certificate
    ADD COLUMN revoked_at     timestamptz,
    ADD COLUMN revoked_reason text,
    ADD COLUMN revoked_by     text,
    ADD COLUMN issuer         bytea,
    ADD COLUMN warned_at      timestamptz,
    ADD COLUMN lapsed_at      timestamptz;
COMMENT ON COLUMN certificate.issuer IS 'key identifier of the CA that signed it; null for the first CA of the installation';
COMMENT ON COLUMN certificate.warned_at IS 'when an incident said that it is near its end';
COMMENT ON COLUMN certificate.lapsed_at IS 'when an incident said that it ended and no other took its place';
CREATE INDEX certificate_revoked ON certificate (not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX certificate_not_after ON certificate (not_after);

-- A certificate that is issued to a revoked device is revoked from the start. The lock makes a revocation and an issue
-- that meet wait for each other, so that neither misses the other.
CREATE FUNCTION revoke_new_certificate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    SELECT revoked_at, revoked_reason, revoked_by INTO NEW.revoked_at, NEW.revoked_reason, NEW.revoked_by
    FROM device WHERE id = NEW.device_id FOR SHARE;
    IF NEW.revoked_at IS NOT NULL THEN
        PERFORM pg_notify('wayside_revocation', '');
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER certificate_of_revoked_device BEFORE INSERT ON certificate
    FOR EACH ROW EXECUTE FUNCTION revoke_new_certificate();

-- Revoked certificates that this database does not know: it was restored from a backup older than a list on disk.
CREATE TABLE revoked_serial (
    serial     numeric(49) PRIMARY KEY,
    revoked_at timestamptz NOT NULL,
    reason     text NOT NULL
);

-- The newest list; whoever signs the next one locks the row, so that numbers rise.
CREATE TABLE revocation_list (
    id     boolean PRIMARY KEY DEFAULT true CHECK (id),
    number bigint NOT NULL,
    pem    text NOT NULL
);
COMMENT ON COLUMN revocation_list.pem IS 'one list for each issuing CA in force, all with this number; empty before the first';
INSERT INTO revocation_list (number, pem) VALUES (0, '');
