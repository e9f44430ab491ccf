-- Enrolment tokens, certificates, API keys, console sessions, refusals.

-- name: add_token
INSERT INTO enrolment_token (digest, device_name, expires_at) VALUES (%(digest)s, %(device_name)s, %(expires_at)s);

-- name: lock_token
SELECT id AS token_id, device_name, expires_at, used_at IS NOT NULL AS used
FROM enrolment_token WHERE digest = %(digest)s FOR UPDATE;

-- name: add_device
INSERT INTO device (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING;

-- name: device_id
SELECT id FROM device WHERE name = %(name)s;

-- name: burn_token
UPDATE enrolment_token SET used_at = %(now)s, device_id = %(device_id)s WHERE id = %(token_id)s;

-- name: add_certificate
INSERT INTO certificate (serial, device_id, not_before, not_after, issuer)
VALUES (%(serial)s, %(device_id)s, %(not_before)s, %(not_after)s, %(issuer)s);

-- name: count_refusal
INSERT INTO refusal (kind, day, count, last_at, last_detail)
VALUES (%(kind)s, %(day)s, 1, %(now)s, %(detail)s)
ON CONFLICT (kind, day) DO UPDATE
SET count = refusal.count + 1, last_at = excluded.last_at, last_detail = excluded.last_detail;

-- name: add_key
INSERT INTO api_key (prefix, digest, label, created_at, expires_at)
VALUES (%(prefix)s, %(digest)s, %(label)s, %(now)s, %(expires_at)s)
RETURNING id AS key_id, prefix, digest, label, created_at, expires_at, revoked_at, last_used, tenant_id;

-- name: find_key
SELECT id AS key_id, prefix, digest, label, created_at, expires_at, revoked_at, last_used, tenant_id
FROM api_key WHERE prefix = %(prefix)s;

-- name: list_keys
SELECT id AS key_id, prefix, digest, label, created_at, expires_at, revoked_at, last_used, tenant_id
FROM api_key ORDER BY id;

-- name: revoke_key
UPDATE api_key SET revoked_at = coalesce(revoked_at, %(now)s) WHERE prefix = %(prefix)s;

-- name: touch_key
UPDATE api_key SET last_used = greatest(last_used, %(now)s) WHERE id = %(key_id)s;

-- name: forget_sessions
DELETE FROM console_session WHERE expires_at <= %(now)s;

-- name: add_session
INSERT INTO console_session (digest, api_key_id, created_at, expires_at)
VALUES (%(digest)s, %(key_id)s, %(now)s, %(expires_at)s);

-- name: session_key
SELECT k.id AS key_id, k.prefix, k.digest, k.label, k.created_at, k.expires_at, k.revoked_at, k.last_used, k.tenant_id
FROM console_session s JOIN api_key k ON k.id = s.api_key_id
WHERE s.digest = %(digest)s AND s.expires_at > %(now)s;

-- name: end_session
DELETE FROM console_session WHERE digest = %(digest)s;

-- name: add_link
INSERT INTO login_link (digest, api_key_id, expires_at) VALUES (%(digest)s, %(key_id)s, %(expires_at)s);

-- name: spend_link
WITH spent AS (
    UPDATE login_link SET used_at = %(now)s
    WHERE digest = %(digest)s AND used_at IS NULL AND expires_at > %(now)s
    RETURNING api_key_id
)
SELECT k.id AS key_id, k.prefix, k.digest, k.label, k.created_at, k.expires_at, k.revoked_at, k.last_used, k.tenant_id
FROM spent JOIN api_key k ON k.id = spent.api_key_id;
