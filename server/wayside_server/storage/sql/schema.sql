-- The migration runner's own bookkeeping.

-- name: create_schema_migration
CREATE TABLE IF NOT EXISTS schema_migration (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: has_schema_migration
SELECT to_regclass('schema_migration') IS NOT NULL;

-- name: applied
SELECT number, digest FROM schema_migration;

-- name: record
INSERT INTO schema_migration (number, name, digest) VALUES (%(number)s, %(name)s, %(digest)s);

-- name: try_lock
SELECT pg_try_advisory_lock(%(key)s);

-- name: set_lock_timeout
SELECT set_config('lock_timeout', %(lock_timeout)s, false);
