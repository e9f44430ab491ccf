-- API keys, refusals.

-- name: count_refusal
INSERT INTO refusal (kind, day, count, last_at, last_detail)
VALUES (%(kind)s, %(day)s, 1, %(now)s, %(detail)s)
ON CONFLICT (kind, day) DO UPDATE
SET count = refusal.count + 1, last_at = excluded.last_at, last_detail = excluded.last_detail;

-- name: count_tenant_refusal
INSERT INTO tenant_refusal (tenant_id, kind, day, count, last_at, last_detail)
VALUES (%(tenant_id)s, %(kind)s, %(day)s, 1, %(now)s, %(detail)s)
ON CONFLICT (tenant_id, kind, day) DO UPDATE
SET count = tenant_refusal.count + 1, last_at = excluded.last_at, last_detail = excluded.last_detail;

-- name: add_key
INSERT INTO api_key (prefix, digest, label, created_at, expires_at, tenant_id, scopes, made_by, created_by, parent_id)
SELECT %(prefix)s, %(digest)s, %(label)s, %(now)s, %(expires_at)s, %(tenant_id)s, %(scopes)s, %(made_by)s,
       coalesce(maker.id, parent.created_by), parent.id
FROM (VALUES (1)) AS one
LEFT JOIN person AS maker ON maker.name = %(person)s
LEFT JOIN api_key AS parent ON parent.prefix = %(parent)s
-- A maker that is not found must not leave a key of the installation behind.
WHERE (%(person)s::text IS NULL OR maker.id IS NOT NULL) AND (%(parent)s::text IS NULL OR parent.id IS NOT NULL);

-- name: find_key
SELECT k.id AS key_id, k.prefix, k.digest, k.label, k.created_at, k.expires_at, k.revoked_at, k.last_used, k.tenant_id,
       k.scopes, k.made_by, k.created_by AS person_id,
       CASE WHEN k.created_by IS NULL THEN NULL WHEN p.disabled_at IS NOT NULL THEN 0
            WHEN p.is_administrator THEN 5 ELSE coalesce(m.role, 0) END AS ceiling,
       -- Who comes in through a provider has their second factor there.
       coalesce(t.require_second_factor AND p.totp_secret IS NULL AND (p.is_administrator OR m.role = 4)
                AND (p.issuer IS NULL OR p.passphrase_hash IS NOT NULL), false) AS lacks_factor
FROM api_key k
JOIN tenant t ON t.id = k.tenant_id
LEFT JOIN person p ON p.id = k.created_by
LEFT JOIN membership m ON m.person_id = k.created_by AND m.tenant_id = k.tenant_id
WHERE k.prefix = %(prefix)s;

-- name: list_keys
SELECT k.id AS key_id, k.prefix, k.digest, k.label, k.created_at, k.expires_at, k.revoked_at, k.last_used, k.tenant_id,
       k.scopes, k.made_by, k.created_by AS person_id,
       CASE WHEN k.created_by IS NULL THEN NULL WHEN p.disabled_at IS NOT NULL THEN 0
            WHEN p.is_administrator THEN 5 ELSE coalesce(m.role, 0) END AS ceiling,
       -- Who comes in through a provider has their second factor there.
       coalesce(t.require_second_factor AND p.totp_secret IS NULL AND (p.is_administrator OR m.role = 4)
                AND (p.issuer IS NULL OR p.passphrase_hash IS NOT NULL), false) AS lacks_factor
FROM api_key k
JOIN tenant t ON t.id = k.tenant_id
LEFT JOIN person p ON p.id = k.created_by
LEFT JOIN membership m ON m.person_id = k.created_by AND m.tenant_id = k.tenant_id
WHERE %(tenant_id)s::integer IS NULL OR k.tenant_id = %(tenant_id)s
ORDER BY k.id;

-- name: revoke_key
WITH RECURSIVE made AS (
    SELECT id FROM api_key WHERE prefix = %(prefix)s AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s)
    UNION
    SELECT k.id FROM api_key k JOIN made ON k.parent_id = made.id
)
UPDATE api_key SET revoked_at = coalesce(revoked_at, %(now)s) WHERE id IN (SELECT id FROM made);

-- name: touch_key
UPDATE api_key SET last_used = greatest(last_used, %(now)s) WHERE id = %(key_id)s;
