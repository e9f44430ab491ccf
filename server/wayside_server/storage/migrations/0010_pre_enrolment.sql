-- Tokens for more than one device, certificates by their keys, and devices that wait for somebody to let them in.

ALTER TABLE enrolment_token
    ADD COLUMN max_uses    integer NOT NULL DEFAULT 1 CHECK (max_uses BETWEEN 1 AND 10000),
    ADD COLUMN uses        integer NOT NULL DEFAULT 0,
    ADD COLUMN name_prefix text CHECK (name_prefix ~ '^[a-z0-9][a-z0-9-]{0,56}-$'),
    ADD COLUMN label       text NOT NULL DEFAULT '',
    ADD COLUMN created_by  text NOT NULL DEFAULT 'unknown',
    ADD COLUMN revoked_at  timestamptz,
    ADD CONSTRAINT enrolment_token_uses CHECK (uses BETWEEN 0 AND max_uses),
    ADD CONSTRAINT enrolment_token_one_name CHECK (device_name IS NULL OR (name_prefix IS NULL AND max_uses = 1));
UPDATE enrolment_token SET uses = 1 WHERE used_at IS NOT NULL;
CREATE INDEX enrolment_token_tenant ON enrolment_token (tenant_id, id);
COMMENT ON COLUMN enrolment_token.name_prefix IS 'devices get this and a number; without it, and without device_name, the server makes names up';
COMMENT ON COLUMN enrolment_token.used_at IS 'the last time; device_id is what it gave then';

ALTER TABLE certificate
    ADD COLUMN key_sha256    bytea CHECK (octet_length(key_sha256) = 32),
    ADD COLUMN superseded_at timestamptz,
    ADD COLUMN origin        text CHECK (origin IN ('token', 'claim', 'reenrolment', 'renewal')),
    ADD COLUMN token_id      integer REFERENCES enrolment_token,
    ADD COLUMN der           bytea;
CREATE INDEX certificate_key ON certificate (key_sha256, created_at);
COMMENT ON COLUMN certificate.key_sha256 IS 'of the SubjectPublicKeyInfo; null for those that were issued before this column';
COMMENT ON COLUMN certificate.superseded_at IS 'a newer one was issued to the device then, or this one renewed once more; both are good for the overlap';

-- Devices that asked without a token, and known keys whose certificates have ended: each waits for somebody's consent.
CREATE TABLE pending_enrolment (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('new', 'renewal')),
    key_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(key_sha256) = 32),
    csr        bytea NOT NULL,
    codes      text[] NOT NULL,
    address    text NOT NULL,
    network    text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    outcome    text NOT NULL DEFAULT 'waiting' CHECK (outcome IN ('waiting', 'approved', 'refused')),
    decided_by text,
    decided_at timestamptz,
    tenant_id  integer REFERENCES tenant,
    group_id   integer REFERENCES device_group,
    device_id  integer REFERENCES device ON DELETE CASCADE,
    serial     numeric(49)
);
CREATE INDEX pending_enrolment_network ON pending_enrolment (network, first_seen);
COMMENT ON COLUMN pending_enrolment.network IS 'the address, or the /64 of an IPv6 address: the number of those from one is bounded';
COMMENT ON COLUMN pending_enrolment.codes IS 'what the device shows, for each root certificate that is trusted: two while roots change';
COMMENT ON COLUMN pending_enrolment.tenant_id IS 'null while nobody has claimed it';
COMMENT ON COLUMN pending_enrolment.serial IS 'of the certificate that it was given; given again when the answer was lost';
