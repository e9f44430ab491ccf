-- What tenants may still take up.

-- name: lock_device_quota
-- Who may add one waits for whoever is adding one; FOR NO KEY UPDATE lets rows that refer to the tenant be added.
SELECT max_devices, closed_at IS NOT NULL AS closed FROM tenant WHERE id = %(tenant_id)s FOR NO KEY UPDATE;

-- name: count_devices
SELECT count(*) FROM device WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL;

-- name: lock_series_quotas
SELECT id, name, max_series FROM tenant
WHERE max_series IS NOT NULL AND id IN (SELECT tenant_id FROM device WHERE id = ANY (%(device_ids)s))
ORDER BY id
FOR NO KEY UPDATE;

-- name: count_series
SELECT d.tenant_id, count(*) FROM device d JOIN series s ON s.device_id = d.id
WHERE d.tenant_id = ANY (%(tenant_ids)s) GROUP BY d.tenant_id;

-- name: devices_of
SELECT id, tenant_id FROM device WHERE id = ANY (%(device_ids)s) AND tenant_id = ANY (%(tenant_ids)s);

-- name: over_samples
SELECT t.id, t.name, t.max_samples FROM tenant t
WHERE t.max_samples IS NOT NULL
  AND (SELECT coalesce(sum(d.plain_stored), 0) FROM device d WHERE d.tenant_id = t.id)
      + (SELECT coalesce(sum(s.stored), 0) FROM device d JOIN stream s ON s.device_id = d.id WHERE d.tenant_id = t.id)
      >= t.max_samples;
