-- What is asked of certificates, and what audits of them find. Of each device the certificate that lasts longest counts:
-- the ones before it were renewed. A revoked one counts only where there is no other.

-- name: certificates
SELECT d.id AS device_id, d.name AS device, c.serial, c.not_before, c.not_after,
       coalesce(d.revoked_at, c.revoked_at) AS revoked_at, coalesce(d.revoked_reason, c.revoked_reason) AS revoked_reason,
       d.last_seen
FROM device d
CROSS JOIN LATERAL (SELECT * FROM certificate WHERE device_id = d.id ORDER BY revoked_at IS NOT NULL, not_after DESC LIMIT 1) AS c
WHERE (%(tenant_id)s::integer IS NULL OR d.tenant_id = %(tenant_id)s)
  AND (c.not_after, d.id) > (%(after)s, %(after_id)s)
ORDER BY c.not_after, d.id
LIMIT %(limit)s

-- name: identity
SELECT d.id AS device_id, d.name AS device, d.revoked_at, d.revoked_reason, d.revoked_by, d.session_ended_at,
       c.serial, c.not_before, c.not_after, coalesce(d.revoked_at, c.revoked_at) AS certificate_revoked_at,
       coalesce(d.revoked_reason, c.revoked_reason) AS certificate_revoked_reason, d.last_seen
FROM device d
LEFT JOIN LATERAL (SELECT * FROM certificate WHERE device_id = d.id ORDER BY revoked_at IS NOT NULL, not_after DESC LIMIT 1) AS c ON true
WHERE d.name = %(device)s AND (%(tenant_id)s::integer IS NULL OR d.tenant_id = %(tenant_id)s)

-- name: near_end
WITH near AS (
    SELECT c.serial, d.id, d.last_seen
    FROM device d
    CROSS JOIN LATERAL (SELECT * FROM certificate WHERE device_id = d.id ORDER BY revoked_at IS NOT NULL, not_after DESC LIMIT 1) AS c
    WHERE d.revoked_at IS NULL AND c.revoked_at IS NULL AND c.warned_at IS NULL
      AND c.not_after > %(now)s AND c.not_after - %(now)s < (c.not_after - c.not_before) / %(part)s
)
UPDATE certificate c SET warned_at = %(now)s
FROM near WHERE near.serial = c.serial
RETURNING near.id AS device_id, c.not_after, near.last_seen

-- name: lapsed
WITH ended AS (
    SELECT c.serial, d.id, d.last_seen
    FROM device d
    CROSS JOIN LATERAL (SELECT * FROM certificate WHERE device_id = d.id ORDER BY revoked_at IS NOT NULL, not_after DESC LIMIT 1) AS c
    WHERE d.revoked_at IS NULL AND c.revoked_at IS NULL AND c.lapsed_at IS NULL AND c.not_after <= %(now)s
)
UPDATE certificate c SET lapsed_at = %(now)s
FROM ended WHERE ended.serial = c.serial
RETURNING ended.id AS device_id, c.not_after, ended.last_seen

-- name: count_expiring
SELECT t.place, count(c.serial)
FROM unnest(%(ends)s::timestamptz[]) WITH ORDINALITY AS t (until, place)
LEFT JOIN (
    SELECT c.serial, c.not_after
    FROM device d
    CROSS JOIN LATERAL (SELECT * FROM certificate WHERE device_id = d.id ORDER BY revoked_at IS NOT NULL, not_after DESC LIMIT 1) AS c
    WHERE d.revoked_at IS NULL AND c.revoked_at IS NULL AND c.not_after <= %(last)s
) AS c ON c.not_after <= t.until
GROUP BY t.place
ORDER BY t.place

-- name: count_revoked_devices
SELECT count(*) FROM device WHERE revoked_at IS NOT NULL

-- name: only_of_others
SELECT d.name, count(*) OVER () AS devices
FROM device d
WHERE d.revoked_at IS NULL
  AND EXISTS (SELECT FROM certificate c WHERE c.device_id = d.id AND c.revoked_at IS NULL AND c.not_after > %(now)s)
  AND NOT EXISTS (SELECT FROM certificate c WHERE c.device_id = d.id AND c.revoked_at IS NULL AND c.not_after > %(now)s
                  AND c.issuer = %(issuer)s)
ORDER BY d.name
LIMIT %(limit)s
