-- The role as which tenants are answered.

-- name: role
SELECT rolsuper OR rolbypassrls AS unbound FROM pg_roles WHERE rolname = %(role)s;

-- name: create
CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;

-- name: may_become
-- A member may; from PostgreSQL 16 on only one whose membership has the option SET.
SELECT pg_has_role(%(role)s, CASE WHEN current_setting('server_version_num')::integer >= 160000
                                  THEN 'SET' ELSE 'MEMBER' END);

-- name: grant
GRANT {role} TO CURRENT_USER;
