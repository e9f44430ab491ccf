-- Tenants: made, counted, bounded, and deleted with all they have.

-- name: list
SELECT t.id, t.name, t.title, t.created_at, t.closed_at, t.max_devices, t.max_series, t.max_samples,
       (SELECT count(*) FROM device d WHERE d.tenant_id = t.id AND d.revoked_at IS NULL) AS devices,
       (SELECT count(*) FROM device d JOIN series s ON s.device_id = d.id WHERE d.tenant_id = t.id) AS series,
       (SELECT coalesce(sum(d.plain_stored), 0) FROM device d WHERE d.tenant_id = t.id)::bigint
       + (SELECT coalesce(sum(s.stored), 0) FROM device d JOIN stream s ON s.device_id = d.id
          WHERE d.tenant_id = t.id)::bigint AS samples
FROM tenant t
WHERE %(name)s::text IS NULL OR t.name = %(name)s
ORDER BY t.name;

-- name: add
INSERT INTO tenant (name, title, max_devices, max_series, max_samples)
VALUES (%(name)s, %(title)s, %(devices)s, %(series)s, %(samples)s)
ON CONFLICT (name) DO NOTHING;

-- name: limit
UPDATE tenant SET max_devices = %(devices)s, max_series = %(series)s, max_samples = %(samples)s
WHERE id = %(tenant_id)s;

-- name: alive
SELECT name, state = 'online' AS online,
       EXISTS (SELECT FROM certificate c WHERE c.device_id = d.id AND c.not_after > now() AND c.revoked_at IS NULL) AS certified
FROM device d WHERE tenant_id = %(tenant_id)s ORDER BY name;

-- name: end_keys
UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE tenant_id = %(tenant_id)s;

-- name: end_tokens
UPDATE enrolment_token SET expires_at = least(expires_at, now()), revoked_at = coalesce(revoked_at, now())
WHERE tenant_id = %(tenant_id)s;

-- name: end_waiting
-- Long ago, for a request that waits for this row has looked at the clock before.
UPDATE pending_enrolment SET expires_at = least(expires_at, now() - interval '1 hour') WHERE tenant_id = %(tenant_id)s;

-- name: hold_devices
SELECT id FROM device WHERE tenant_id = %(tenant_id)s ORDER BY id FOR UPDATE;

-- name: close
UPDATE tenant SET closed_at = coalesce(closed_at, now()) WHERE id = %(tenant_id)s;

-- name: keep_out
-- Its certificates go with it, and would leave the list that brokers read; what it had must not come back.
INSERT INTO revoked_serial (serial, revoked_at, reason)
SELECT c.serial, coalesce(c.revoked_at, now()), coalesce(nullif(c.revoked_reason, 'hold'), 'cessation-of-operation')
FROM certificate c JOIN device d ON d.id = c.device_id
WHERE d.tenant_id = %(tenant_id)s AND c.not_after > now()
ON CONFLICT (serial) DO NOTHING;

-- name: forget_names
DELETE FROM deleted_device WHERE until <= now();

-- name: keep_names
-- A device that was heard without a certificate that is known here has one of before a restored backup, and nobody
-- knows its end: it cannot outlive the CA, which has ten years.
INSERT INTO deleted_device (name, until)
SELECT d.name, coalesce(max(c.not_after), now() + interval '3653 days')
FROM device d LEFT JOIN certificate c ON c.device_id = d.id
WHERE d.tenant_id = %(tenant_id)s
GROUP BY d.id
HAVING max(c.not_after) > now() OR (max(c.not_after) IS NULL AND d.last_seen IS NOT NULL)
ON CONFLICT (name) DO UPDATE SET until = greatest(deleted_device.until, excluded.until);

-- name: end_sessions
INSERT INTO session_to_end (device, cause, asked_at)
SELECT name, 'deleted', now() FROM device WHERE tenant_id = %(tenant_id)s
ON CONFLICT (device) DO UPDATE SET cause = excluded.cause, asked_at = excluded.asked_at;

-- name: tell_of_revocations
SELECT pg_notify('wayside_revocation', '');

-- name: tables
-- Every table with its columns; partitions are reached through their table.
SELECT c.relname::text AS name, array_agg(a.attname::text) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = current_schema::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname;

-- name: references
SELECT child.relname::text AS child, a.attname::text AS by_column, parent.relname::text AS parent,
       p.attname::text AS parent_column
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid
JOIN pg_class parent ON parent.oid = k.confrelid
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = k.confkey[1]
WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND child.relnamespace = current_schema::regnamespace
  AND NOT child.relispartition;

-- name: count
SELECT count(*) FROM {table} WHERE {theirs};

-- name: parents
SELECT {parent_column} FROM {parent} WHERE {theirs} AND {parent_column} > %(after)s
ORDER BY {parent_column} LIMIT %(limit)s;

-- name: with_samples
SELECT id FROM unnest(%(ids)s::integer[]) AS wanted (id)
WHERE EXISTS (SELECT FROM {table} WHERE series_id = wanted.id);

-- name: delete_samples
-- From the oldest on, by the index: a step is as long as the rows in it, however many the series has.
DELETE FROM {table} WHERE series_id = %(id)s AND ts <= (
    SELECT max(ts) FROM (SELECT ts FROM {table} WHERE series_id = %(id)s ORDER BY ts LIMIT %(limit)s) AS oldest);

-- name: delete_some
DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {theirs} LIMIT %(limit)s));

-- name: by_index
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true);
