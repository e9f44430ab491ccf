-- Enrolment tokens, certificates, and devices that wait.

-- name: tenant_id
SELECT id FROM tenant WHERE name = %(name)s;

-- name: sole_tenant
SELECT count(*) = 1 FROM tenant;

-- name: add_group
INSERT INTO device_group (tenant_id, name) VALUES (%(tenant_id)s, %(name)s) ON CONFLICT (tenant_id, name) DO NOTHING;

-- name: group_id
SELECT id FROM device_group WHERE tenant_id = %(tenant_id)s AND name = %(name)s;

-- name: add_token
INSERT INTO enrolment_token
    (digest, device_name, name_prefix, max_uses, label, replaces, created_by, created_at, expires_at, tenant_id,
     group_id)
VALUES (%(digest)s, %(name)s, %(prefix)s, %(max_uses)s, %(label)s, %(replaces)s, %(created_by)s, %(created_at)s,
        %(expires_at)s, %(tenant_id)s, (SELECT id FROM device_group WHERE tenant_id = %(tenant_id)s AND name = %(group)s))
RETURNING id;

-- name: holders
SELECT name, tenant_id, revoked_at IS NOT NULL FROM device WHERE name = ANY(%(names)s);

-- name: list_tokens
SELECT t.id AS token_id, t.device_name AS name, t.name_prefix AS prefix, g.name AS "group",
       greatest(t.uses, (t.used_at IS NOT NULL)::integer) AS uses, t.max_uses, t.label, t.created_by, t.created_at,
       t.expires_at, t.revoked_at
FROM enrolment_token t LEFT JOIN device_group g ON g.id = t.group_id
WHERE t.tenant_id = %(tenant_id)s AND t.id < %(before_id)s
ORDER BY t.id DESC LIMIT %(limit)s;

-- name: revoke_token
UPDATE enrolment_token SET revoked_at = coalesce(revoked_at, %(now)s)
WHERE id = %(token_id)s AND tenant_id = %(tenant_id)s;

-- A server of the release before says that a token was used by used_at alone.
-- name: lock_token
SELECT id AS token_id, tenant_id, group_id, device_name, name_prefix, expires_at,
       greatest(uses, (used_at IS NOT NULL)::integer) AS uses, max_uses, revoked_at IS NOT NULL AS revoked, replaces
FROM enrolment_token WHERE digest = %(digest)s FOR UPDATE;

-- name: use_token
UPDATE enrolment_token SET uses = greatest(uses, (used_at IS NOT NULL)::integer) + 1, used_at = %(now)s,
    device_id = %(device_id)s
WHERE id = %(token_id)s;

-- name: new_device
-- A name of a deleted tenant is to be had once the session that it may have is ended, which would be the new device's.
INSERT INTO device (name, tenant_id, group_id) SELECT %(name)s, %(tenant_id)s, %(group_id)s
WHERE NOT EXISTS (SELECT FROM session_to_end WHERE device = %(name)s AND cause = 'deleted')
ON CONFLICT (name) DO NOTHING RETURNING id;

-- name: join_device
UPDATE device SET group_id = coalesce(%(group_id)s, group_id)
WHERE name = %(name)s AND tenant_id = %(tenant_id)s RETURNING id, revoked_at IS NOT NULL;

-- name: last_number
SELECT coalesce(max(substring(name FROM length(%(prefix)s) + 1)::integer), 0)
FROM (SELECT name FROM device UNION ALL SELECT device FROM session_to_end WHERE cause = 'deleted') AS taken
WHERE starts_with(name, %(prefix)s) AND substring(name FROM length(%(prefix)s) + 1) ~ '^[1-9][0-9]{0,5}$';

-- name: certificates
SELECT c.serial, c.device_id, d.name AS device, d.tenant_id, c.created_at, c.superseded_at, c.der,
       EXISTS (SELECT FROM certificate n
               WHERE n.device_id = c.device_id AND n.created_at > c.created_at AND n.origin IN ('token', 'claim')
                   AND n.key_sha256 IS DISTINCT FROM c.key_sha256) AS replaced
FROM certificate c JOIN device d ON d.id = c.device_id
WHERE c.key_sha256 = %(key_sha256)s OR c.serial = %(serial)s
ORDER BY c.created_at DESC, c.serial;

-- name: hold_device
SELECT d.id FROM certificate c JOIN device d ON d.id = c.device_id WHERE c.serial = %(serial)s FOR SHARE OF d;

-- name: issued_since
SELECT count(*) FROM certificate WHERE device_id = %(device_id)s AND created_at > %(since)s;

-- name: supersede
UPDATE certificate SET superseded_at = coalesce(superseded_at, %(at)s) WHERE device_id = %(device_id)s;

-- name: still_renews
UPDATE certificate SET superseded_at = %(at)s WHERE serial = %(serial)s;

-- name: add_certificate
INSERT INTO certificate (serial, device_id, not_before, not_after, created_at, key_sha256, origin, token_id, der,
                         issuer)
VALUES (%(serial)s, %(device_id)s, %(not_before)s, %(not_after)s, %(at)s, %(key_sha256)s, %(origin)s, %(token_id)s,
        %(der)s, %(issuer)s);

-- What is on hold would be released with the device, and the board is not the device's any more.
-- name: revoke_replaced
UPDATE certificate SET revoked_at = coalesce(revoked_at, %(at)s), revoked_reason = 'superseded', revoked_by = %(origin)s
WHERE device_id = %(device_id)s AND key_sha256 IS DISTINCT FROM %(key_sha256)s AND not_after > %(at)s
  AND (revoked_at IS NULL OR revoked_reason = 'hold');

-- name: end_replaced_session
INSERT INTO session_to_end (device, cause, asked_at) SELECT name, 'replaced', %(at)s FROM device WHERE id = %(device_id)s
ON CONFLICT (device) DO UPDATE SET asked_at = excluded.asked_at;

-- name: tell_of_revocations
SELECT pg_notify('wayside_revocation', '');

-- name: entry_by_key
SELECT p.id AS entry_id, p.kind, p.codes, p.address, p.first_seen, p.last_seen, p.expires_at, p.outcome, p.tenant_id,
       p.device_id, d.name AS device, p.serial
FROM pending_enrolment p LEFT JOIN device d ON d.id = p.device_id
WHERE p.key_sha256 = %(key_sha256)s FOR UPDATE OF p;

-- name: entry_by_id
SELECT p.id AS entry_id, p.kind, p.codes, p.address, p.first_seen, p.last_seen, p.expires_at, p.outcome, p.tenant_id,
       p.device_id, d.name AS device, p.serial
FROM pending_enrolment p LEFT JOIN device d ON d.id = p.device_id
WHERE p.id = %(entry_id)s FOR UPDATE OF p;

-- name: entries_by_code
SELECT p.id AS entry_id, p.kind, p.codes, p.address, p.first_seen, p.last_seen, p.expires_at, p.outcome, p.tenant_id,
       p.device_id, d.name AS device, p.serial
FROM pending_enrolment p LEFT JOIN device d ON d.id = p.device_id
WHERE p.outcome = 'waiting' AND %(code)s = ANY(p.codes) FOR UPDATE OF p;

-- name: waiting
SELECT p.id AS entry_id, p.kind, p.codes, p.address, p.first_seen, p.last_seen, p.expires_at, p.outcome, p.tenant_id,
       p.device_id, d.name AS device, p.serial
FROM pending_enrolment p LEFT JOIN device d ON d.id = p.device_id
WHERE p.outcome = 'waiting' AND p.expires_at > %(now)s
  AND (p.tenant_id = %(tenant_id)s OR (%(unclaimed)s AND p.tenant_id IS NULL)) AND p.id < %(before_id)s
ORDER BY p.id DESC LIMIT %(limit)s;

-- New ones come one after the other, so that their number is never above the bounds.
-- name: lock_waiting
SELECT pg_advisory_xact_lock(7396010);

-- A device that asks again within a day after its time is told that it was too late.
-- name: forget_lapsed
DELETE FROM pending_enrolment WHERE expires_at <= %(now)s - interval '1 day';

-- name: make_room_in_network
DELETE FROM pending_enrolment WHERE id IN (
    SELECT id FROM pending_enrolment WHERE network = %(network)s AND outcome = 'waiting'
    ORDER BY first_seen DESC, id DESC OFFSET %(most)s) AND outcome = 'waiting';

-- From the network that has most of them.
-- name: make_room
DELETE FROM pending_enrolment WHERE id IN (
    SELECT id FROM (SELECT id, first_seen, count(*) OVER (PARTITION BY network) AS mates
                    FROM pending_enrolment WHERE outcome = 'waiting') each
    ORDER BY mates DESC, first_seen, id
    LIMIT greatest((SELECT count(*) FROM pending_enrolment WHERE outcome = 'waiting') - %(most)s, 0)) AND outcome = 'waiting';

-- name: add_waiting
INSERT INTO pending_enrolment
    (kind, key_sha256, csr, codes, address, network, first_seen, last_seen, expires_at, tenant_id, device_id)
VALUES (%(kind)s, %(key_sha256)s, %(csr)s, %(codes)s, %(address)s, %(network)s, %(at)s, %(at)s, %(expires_at)s,
        %(tenant_id)s, %(device_id)s)
ON CONFLICT (key_sha256) DO NOTHING;

-- name: seen
UPDATE pending_enrolment SET last_seen = %(now)s, address = %(address)s WHERE id = %(entry_id)s;

-- name: forget
DELETE FROM pending_enrolment WHERE id = %(entry_id)s;

-- name: decide
UPDATE pending_enrolment SET outcome = %(outcome)s, decided_by = %(decided_by)s, decided_at = %(now)s,
    expires_at = %(until)s
WHERE id = %(entry_id)s;

-- name: place
UPDATE pending_enrolment SET tenant_id = %(tenant_id)s, group_id = %(group_id)s, device_id = %(device_id)s
WHERE id = %(entry_id)s;

-- name: given
UPDATE pending_enrolment SET serial = %(serial)s WHERE id = %(entry_id)s;
