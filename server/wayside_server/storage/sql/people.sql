-- Accounts, memberships, invitations, sessions, sign-in links and attempts.

-- name: claimed
SELECT EXISTS (SELECT FROM person);

-- name: lock_people
-- Two who claim at once must not both be the first.
LOCK TABLE person IN SHARE ROW EXCLUSIVE MODE;

-- name: find_person
SELECT id AS person_id, name, display_name, passphrase_hash, must_change, totp_secret, totp_step, is_administrator,
       created_at, disabled_at, last_sign_in, issuer
FROM person WHERE name = %(name)s;

-- name: find_subject
SELECT id AS person_id, name, display_name, passphrase_hash, must_change, totp_secret, totp_step, is_administrator,
       created_at, disabled_at, last_sign_in, issuer
FROM person WHERE issuer = %(issuer)s AND subject = %(subject)s;

-- name: people
SELECT id AS person_id, name, display_name, passphrase_hash, must_change, totp_secret, totp_step, is_administrator,
       created_at, disabled_at, last_sign_in, issuer
FROM person ORDER BY name;

-- name: add_person
INSERT INTO person (name, display_name, passphrase_hash, is_administrator, created_at, issuer, subject)
VALUES (%(name)s, %(display_name)s, %(passphrase_hash)s, %(is_administrator)s, %(now)s, %(issuer)s, %(subject)s)
ON CONFLICT (name) DO NOTHING
RETURNING id AS person_id, name, display_name, passphrase_hash, must_change, totp_secret, totp_step, is_administrator,
          created_at, disabled_at, last_sign_in, issuer;

-- name: add_membership
-- Nobody loses by joining: a higher role stays, and stays a mapped one if it was.
INSERT INTO membership AS m (person_id, tenant_id, role) VALUES (%(person_id)s, %(tenant_id)s, %(role)s)
ON CONFLICT (person_id, tenant_id)
DO UPDATE SET role = greatest(m.role, excluded.role), mapped = m.mapped AND m.role > excluded.role;

-- name: first_tenant
SELECT min(id) FROM tenant;

-- name: tenant_id
SELECT id FROM tenant WHERE name = %(name)s;

-- name: set_passphrase
UPDATE person SET passphrase_hash = %(kept)s, must_change = %(must_change)s WHERE id = %(person_id)s;

-- name: reset_person
UPDATE person SET passphrase_hash = NULL, must_change = issuer IS NULL, totp_secret = NULL, totp_step = NULL
WHERE id = %(person_id)s;

-- name: forget_recovery
DELETE FROM recovery_code WHERE person_id = %(person_id)s;

-- name: add_recovery
INSERT INTO recovery_code (digest, person_id) SELECT unnest(%(digests)s::bytea[]), %(person_id)s;

-- name: set_second_factor
UPDATE person SET totp_secret = %(sealed)s, totp_step = NULL WHERE id = %(person_id)s;

-- name: spend_step
UPDATE person SET totp_step = %(step)s
WHERE id = %(person_id)s AND (totp_step IS NULL OR totp_step < %(step)s);

-- name: spend_recovery
DELETE FROM recovery_code WHERE person_id = %(person_id)s AND digest = %(digest)s;

-- name: recovery_left
SELECT count(*) FROM recovery_code WHERE person_id = %(person_id)s;

-- name: revoke_keys_of
UPDATE api_key SET revoked_at = %(now)s
WHERE created_by = %(person_id)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s);

-- name: disable
-- What the installation disabled stays so. A release that knew no levels left none; that may have been either.
UPDATE person SET disabled_at = %(since)s, disabled_by = CASE
    WHEN disabled_at IS NOT NULL AND disabled_by IS DISTINCT FROM 'tenant' THEN 'installation' ELSE %(level)s END
WHERE id = %(person_id)s;

-- name: enable
UPDATE person SET disabled_at = NULL, disabled_by = NULL
WHERE id = %(person_id)s AND (disabled_at IS NULL OR disabled_by = 'tenant' OR %(level)s = 'installation');

-- name: lock_tenant
SELECT FROM tenant WHERE id = %(tenant_id)s FOR NO KEY UPDATE;

-- name: is_last_admin
SELECT EXISTS (SELECT FROM membership WHERE tenant_id = %(tenant_id)s AND person_id = %(person_id)s AND role = 4)
   AND NOT EXISTS (
       SELECT FROM membership m JOIN person p ON p.id = m.person_id
       WHERE m.tenant_id = %(tenant_id)s AND p.id <> %(person_id)s AND m.role = 4 AND p.disabled_at IS NULL);

-- name: withdraw_beyond
-- Or somebody who is thrown out would come in again by an invitation of their own.
DELETE FROM invitation i USING person p
WHERE p.id = %(person_id)s AND i.made_by = 'person:' || p.name AND i.role > %(role)s
  AND (%(tenant_id)s::integer IS NULL OR i.tenant_id = %(tenant_id)s);

-- name: set_administrator
UPDATE person SET is_administrator = %(granted)s WHERE id = %(person_id)s;

-- name: end_mapped
DELETE FROM membership m USING tenant t
WHERE t.id = m.tenant_id AND m.person_id = %(person_id)s AND m.mapped AND NOT t.name = ANY (%(tenants)s)
RETURNING m.tenant_id;

-- name: add_mapped
-- A membership that an admin gave stays as it is.
INSERT INTO membership AS m (person_id, tenant_id, role, mapped)
SELECT %(person_id)s, id, %(role)s, true FROM tenant WHERE name = %(tenant)s
ON CONFLICT (person_id, tenant_id) DO UPDATE SET role = excluded.role WHERE m.mapped AND m.role <> excluded.role
RETURNING tenant_id;

-- name: count_memberships
SELECT count(*) FROM membership WHERE person_id = %(person_id)s;

-- name: members
SELECT p.name, p.display_name, m.role, m.mapped, p.totp_secret IS NOT NULL AS second_factor, p.is_administrator,
       EXISTS (SELECT FROM membership o WHERE o.person_id = p.id AND o.tenant_id <> m.tenant_id) AS elsewhere,
       p.disabled_at, p.last_sign_in
FROM membership m JOIN person p ON p.id = m.person_id
WHERE m.tenant_id = %(tenant_id)s ORDER BY p.name;

-- name: places
SELECT t.id AS tenant_id, t.title, m.role
FROM person p CROSS JOIN tenant t LEFT JOIN membership m ON m.person_id = p.id AND m.tenant_id = t.id
WHERE p.id = %(person_id)s AND (p.is_administrator OR m.role IS NOT NULL) ORDER BY t.title, t.id;

-- name: set_role
UPDATE membership SET role = %(role)s, mapped = false WHERE person_id = %(person_id)s AND tenant_id = %(tenant_id)s;

-- name: end_membership
DELETE FROM membership WHERE person_id = %(person_id)s AND tenant_id = %(tenant_id)s;

-- name: forget_invitations
DELETE FROM invitation WHERE expires_at <= %(now)s;

-- name: add_invitation
INSERT INTO invitation (digest, tenant_id, role, label, made_by, created_at, expires_at)
VALUES (%(digest)s, %(tenant_id)s, %(role)s, %(label)s, %(made_by)s, %(now)s, %(expires_at)s);

-- name: find_invitation
SELECT i.id AS invitation_id, i.tenant_id, t.title AS tenant, i.role, i.label, i.made_by, i.expires_at
FROM invitation i JOIN tenant t ON t.id = i.tenant_id WHERE i.digest = %(digest)s AND i.expires_at > %(now)s;

-- name: invitations
SELECT i.id AS invitation_id, i.tenant_id, t.title AS tenant, i.role, i.label, i.made_by, i.expires_at
FROM invitation i JOIN tenant t ON t.id = i.tenant_id
WHERE i.tenant_id = %(tenant_id)s AND i.expires_at > %(now)s ORDER BY i.id;

-- name: withdraw_invitation
DELETE FROM invitation WHERE id = %(invitation_id)s AND tenant_id = %(tenant_id)s;

-- name: spend_invitation
DELETE FROM invitation WHERE digest = %(digest)s AND expires_at > %(now)s RETURNING tenant_id, role;

-- name: required_second_factor
SELECT require_second_factor FROM tenant WHERE id = %(tenant_id)s;

-- name: require_second_factor
UPDATE tenant SET require_second_factor = %(wanted)s WHERE id = %(tenant_id)s;

-- name: forget_sessions
DELETE FROM session WHERE expires_at <= %(now)s;

-- name: add_session
INSERT INTO session (digest, person_id, tenant_id, method, factor_done, created_at, last_used, expires_at, address, agent)
VALUES (%(digest)s, %(person_id)s,
        coalesce(%(tenant_id)s, (SELECT min(tenant_id) FROM membership WHERE person_id = %(person_id)s)),
        %(method)s, %(factor_done)s, %(now)s, %(now)s, %(expires_at)s, %(address)s, %(agent)s);

-- name: note_sign_in
UPDATE person SET last_sign_in = %(now)s WHERE id = %(person_id)s;

-- name: find_session
SELECT s.number, s.method, s.factor_done, s.created_at, s.last_used, s.expires_at, s.address, s.agent,
       s.tenant_id, t.title AS tenant, m.role, p.id AS person_id, p.name, p.display_name, p.is_administrator,
       p.must_change, p.totp_secret IS NOT NULL AS second_factor,
       coalesce(t.require_second_factor, false) AS require_second_factor
FROM session s
JOIN person p ON p.id = s.person_id AND p.disabled_at IS NULL
LEFT JOIN tenant t ON t.id = s.tenant_id
LEFT JOIN membership m ON m.person_id = p.id AND m.tenant_id = s.tenant_id
WHERE s.digest = %(digest)s AND s.expires_at > %(now)s AND s.last_used > %(idle_since)s;

-- name: sessions
SELECT s.number, s.method, s.factor_done, s.created_at, s.last_used, s.expires_at, s.address, s.agent,
       s.tenant_id, t.title AS tenant, m.role, p.id AS person_id, p.name, p.display_name, p.is_administrator,
       p.must_change, p.totp_secret IS NOT NULL AS second_factor,
       coalesce(t.require_second_factor, false) AS require_second_factor
FROM session s
JOIN person p ON p.id = s.person_id
LEFT JOIN tenant t ON t.id = s.tenant_id
LEFT JOIN membership m ON m.person_id = p.id AND m.tenant_id = s.tenant_id
WHERE s.person_id = %(person_id)s AND s.expires_at > %(now)s AND s.last_used > %(idle_since)s
ORDER BY s.number DESC;

-- name: touch_session
UPDATE session SET last_used = greatest(last_used, %(now)s) WHERE digest = %(digest)s;

-- name: end_session
DELETE FROM session WHERE digest = %(digest)s;

-- name: end_numbered
DELETE FROM session WHERE person_id = %(person_id)s AND number = %(number)s;

-- name: end_sessions
DELETE FROM session WHERE person_id = %(person_id)s AND digest IS DISTINCT FROM %(but)s::bytea;

-- name: end_links
DELETE FROM sign_in_link WHERE person_id = %(person_id)s;

-- name: forget_links
DELETE FROM sign_in_link WHERE expires_at <= %(now)s;

-- name: add_link
INSERT INTO sign_in_link (digest, person_id, expires_at) VALUES (%(digest)s, %(person_id)s, %(expires_at)s);

-- name: spend_link
WITH spent AS (
    DELETE FROM sign_in_link WHERE digest = %(digest)s AND expires_at > %(now)s RETURNING person_id
)
SELECT p.id AS person_id, p.name, p.display_name, p.passphrase_hash, p.must_change, p.totp_secret, p.totp_step,
       p.is_administrator, p.created_at, p.disabled_at, p.last_sign_in, p.issuer
FROM spent JOIN person p ON p.id = spent.person_id AND p.disabled_at IS NULL;

-- name: begin_attempt
-- Counted in one statement, so that many tries at once are counted one after the other.
INSERT INTO sign_in_attempt AS a (subject, failures, last_at, blocked_until)
VALUES (%(subject)s, 1, %(now)s, %(now)s)
ON CONFLICT (subject) DO UPDATE SET
    failures = CASE WHEN a.last_at < %(forget)s THEN 1 ELSE a.failures + 1 END,
    last_at = %(now)s,
    blocked_until = %(now)s + make_interval(secs => CASE
        WHEN a.last_at < %(forget)s OR a.failures + 1 < %(free)s THEN 0
        ELSE least(%(longest_s)s, power(2, least(a.failures + 1 - %(free)s, 30))) END)
WHERE a.blocked_until <= %(now)s
RETURNING failures;

-- name: blocked_until
SELECT blocked_until FROM sign_in_attempt WHERE subject = %(subject)s;

-- name: forget_attempts
DELETE FROM sign_in_attempt WHERE last_at < %(forget)s;

-- name: clear_attempts
DELETE FROM sign_in_attempt WHERE subject = %(subject)s;

-- name: undo_attempt
UPDATE sign_in_attempt SET failures = greatest(failures - 1, 0), blocked_until = least(blocked_until, %(now)s)
WHERE subject = %(subject)s;
