-- The audit log.

-- name: lock_head
SELECT id, hash FROM audit_head FOR UPDATE;

-- name: head
SELECT id, hash FROM audit_head;

-- name: enter
INSERT INTO audit_entry (id, at, actor, action, subject, tenant_id, address, outcome, detail, hash)
VALUES (%(id)s, %(at)s, %(actor)s, %(action)s, %(subject)s,
        %(tenant_id)s, %(address)s, %(outcome)s, %(detail)s, %(hash)s);

-- name: advance
UPDATE audit_head SET id = %(id)s, hash = %(hash)s;

-- name: entries
SELECT id, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, action, subject, tenant_id, address, outcome,
       detail, hash
FROM audit_entry
WHERE id < %(before_id)s AND (%(tenant_id)s::integer IS NULL OR tenant_id = %(tenant_id)s)
  AND actor LIKE %(actor)s AND action LIKE %(action)s AND subject LIKE %(subject)s
  AND at >= %(since)s AND at < %(until)s
ORDER BY id DESC
LIMIT %(limit)s;

-- name: onward
SELECT id, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, action, subject, tenant_id, address, outcome,
       detail, hash
FROM audit_entry
WHERE id > %(after_id)s
ORDER BY id
LIMIT %(limit)s;
