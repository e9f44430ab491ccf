-- Roles and database of a PostgreSQL of our own, typed by its superuser each time that it starts.

-- name: roles
-- `wayside` owns the database, `wayside_app` is whom tenants are answered as, and `wayside_reader` logs in to become that
-- and nobody else: SET ROLE and RESET ROLE lead it nowhere. It inherits nothing, so that it is nobody until then.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wayside') THEN
        CREATE ROLE wayside LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wayside_app') THEN
        CREATE ROLE wayside_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wayside_reader') THEN
        CREATE ROLE wayside_reader LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
    END IF;
END
$$;

-- name: memberships
GRANT wayside_app TO wayside, wayside_reader WITH INHERIT FALSE, SET TRUE;

-- name: owner
SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'wayside';

-- name: create_database
CREATE DATABASE wayside OWNER wayside;

-- name: hand_over
-- A database that the superuser made goes to `wayside` with all that is in it, at once or not at all. Sequences of
-- identity columns follow their tables.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                            AND d.refclassid = 'pg_class'::regclass AND c.relkind = 'S')
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO wayside', made.name);
    END LOOP;
    FOR made IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO wayside', made.name);
    END LOOP;
    FOR made IN SELECT tablename, policyname FROM pg_policies WHERE roles = '{postgres}' LOOP
        EXECUTE format('ALTER POLICY %I ON %I TO wayside', made.policyname, made.tablename);
    END LOOP;
    ALTER DATABASE wayside OWNER TO wayside;
END
$$;
