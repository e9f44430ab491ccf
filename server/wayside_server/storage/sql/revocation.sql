-- Revoked devices and certificates, and the newest list of them.

-- name: revoke_device
UPDATE device SET
    revoked_at = coalesce(revoked_at, %(now)s),
    revoked_reason = %(reason)s,
    revoked_by = %(by)s,
    session_ended_at = NULL,
    state_since = CASE WHEN state = 'online' THEN %(now)s ELSE state_since END,
    state = CASE WHEN state = 'online' THEN 'offline' ELSE state END
WHERE name = %(device)s AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s)
RETURNING id, tenant_id

-- name: revoke_certificates
-- One that has expired needs no entry in a list. What is revoked for good is not put on hold, which can be taken back.
UPDATE certificate SET revoked_at = coalesce(revoked_at, %(now)s), revoked_reason = %(reason)s, revoked_by = %(by)s
WHERE device_id = %(device_id)s AND not_after > %(now)s AND (revoked_at IS NULL OR %(reason)s <> %(hold)s)

-- name: restore_device
WITH before AS (
    SELECT id, revoked_at IS NOT NULL AS revoked FROM device
    WHERE name = %(device)s AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s) FOR UPDATE
)
UPDATE device d SET revoked_at = NULL, revoked_reason = NULL, revoked_by = NULL, session_ended_at = NULL
FROM before WHERE d.id = before.id
RETURNING d.id, d.tenant_id, before.revoked

-- name: release_certificates
UPDATE certificate SET revoked_at = NULL, revoked_reason = NULL, revoked_by = NULL
WHERE device_id = %(device_id)s AND revoked_reason = %(hold)s AND not_after > %(now)s

-- name: release_serials
DELETE FROM revoked_serial s USING certificate c
WHERE c.serial = s.serial AND c.device_id = %(device_id)s AND s.reason = %(hold)s

-- name: count_revoked
SELECT count(*) FROM certificate WHERE device_id = %(device_id)s AND revoked_at IS NOT NULL AND not_after > %(now)s

-- name: notify
SELECT pg_notify('wayside_revocation', '')

-- name: listen
LISTEN wayside_revocation

-- name: is_revoked
SELECT EXISTS (SELECT FROM certificate c JOIN device d ON d.id = c.device_id
               WHERE c.serial = %(serial)s AND (c.revoked_at IS NOT NULL OR d.revoked_at IS NOT NULL))
    OR EXISTS (SELECT FROM revoked_serial WHERE serial = %(serial)s)

-- name: lock_list
SELECT number, pem FROM revocation_list FOR UPDATE

-- name: revoked
SELECT serial, revoked_at, revoked_reason AS reason FROM certificate
WHERE revoked_at IS NOT NULL AND not_after > %(now)s
UNION ALL
SELECT s.serial, s.revoked_at, s.reason FROM revoked_serial s
WHERE NOT EXISTS (SELECT FROM certificate c WHERE c.serial = s.serial AND c.revoked_at IS NOT NULL)

-- name: adopt
INSERT INTO revoked_serial (serial, revoked_at, reason)
SELECT * FROM unnest(%(serials)s::numeric[], %(times)s::timestamptz[], %(reasons)s::text[])
ON CONFLICT (serial) DO NOTHING

-- name: keep_list
UPDATE revocation_list SET number = %(number)s, pem = %(pem)s

-- name: try_lock
SELECT pg_try_advisory_xact_lock(%(key)s)

-- name: sessions_to_end
-- One for a name: of a revoked device that was replaced before, whoever has the name must go.
SELECT coalesce(s.device, d.name) AS device,
       CASE WHEN d.name IS NULL OR s.cause = 'deleted' THEN s.cause ELSE 'revoked' END AS cause,
       coalesce(s.asked_at, d.revoked_at) AS since
FROM session_to_end s
FULL JOIN (SELECT name, revoked_at FROM device WHERE revoked_at IS NOT NULL AND session_ended_at IS NULL) AS d
    ON d.name = s.device
ORDER BY since, device

-- name: forget_asked
DELETE FROM session_to_end WHERE device = %(device)s AND asked_at <= %(since)s

-- name: session_ended
UPDATE device SET session_ended_at = %(now)s WHERE name = %(device)s AND revoked_at IS NOT NULL RETURNING id
