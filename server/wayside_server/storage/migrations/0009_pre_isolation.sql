-- Tenants are kept apart by the database: docs/decisions/0019 has the why. `wayside_app`, the role that answers for a
-- tenant, is made by the migration runner, for roles belong to the whole cluster.

-- Every ingest transaction begins with devices: one that has begun is waited for here, a later one waits here, and none
-- can stand in the way further down.
LOCK TABLE device IN ACCESS EXCLUSIVE MODE;

CREATE FUNCTION current_tenant() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('wayside.tenant', true), '')::integer $$;
COMMENT ON FUNCTION current_tenant() IS 'whose rows this transaction may see; null, and so none, unless it says so with SET LOCAL wayside.tenant';

CREATE FUNCTION sees_installation() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(current_setting('wayside.installation', true), '') = 'on' $$;
COMMENT ON FUNCTION sees_installation() IS 'whether this transaction may see what belongs to no tenant, by SET LOCAL wayside.installation';

-- The owner, as which ingest, identity and jobs work, sees all; FORCE holds it to the policies too, so that one who
-- comes to own a table by mistake sees nothing.
CREATE FUNCTION keep_apart(kept regclass, visible text DEFAULT 'tenant_id = current_tenant()') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', kept);
    EXECUTE format('CREATE POLICY service ON %s TO CURRENT_USER USING (true) WITH CHECK (true)', kept);
    EXECUTE format('CREATE POLICY tenant ON %s FOR SELECT TO wayside_app USING (%s)', kept, visible);
    EXECUTE format('GRANT SELECT ON %s TO wayside_app', kept);
END
$$;

-- What hangs on a device has its tenant beside it: a policy that asked the device for each row would cost a join.
ALTER TABLE series      ADD COLUMN tenant_id integer NOT NULL DEFAULT 1;
ALTER TABLE stream      ADD COLUMN tenant_id integer NOT NULL DEFAULT 1;
ALTER TABLE device_log  ADD COLUMN tenant_id integer NOT NULL DEFAULT 1;
ALTER TABLE dead_letter ADD COLUMN tenant_id integer NOT NULL DEFAULT 1;
ALTER TABLE incident    ADD COLUMN tenant_id integer;
COMMENT ON COLUMN incident.tenant_id IS 'null for one that is no device''s: the installation''s';
UPDATE series t      SET tenant_id = d.tenant_id FROM device d WHERE d.id = t.device_id AND d.tenant_id <> 1;
UPDATE stream t      SET tenant_id = d.tenant_id FROM device d WHERE d.id = t.device_id AND d.tenant_id <> 1;
UPDATE device_log t  SET tenant_id = d.tenant_id FROM device d WHERE d.id = t.device_id AND d.tenant_id <> 1;
UPDATE dead_letter t SET tenant_id = d.tenant_id FROM device d WHERE d.name = t.device AND d.tenant_id <> 1;
UPDATE incident t    SET tenant_id = d.tenant_id FROM device d WHERE d.id = t.device_id;

-- Whoever inserts, a program of the release before too, cannot give a row to another tenant than its device has.
CREATE FUNCTION follow_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tenant_id := (SELECT tenant_id FROM device WHERE id = NEW.device_id);
    RETURN NEW;
END
$$;
CREATE FUNCTION follow_device_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tenant_id := coalesce((SELECT tenant_id FROM device WHERE name = NEW.device), 1);
    RETURN NEW;
END
$$;
CREATE TRIGGER follow BEFORE INSERT ON series      FOR EACH ROW EXECUTE FUNCTION follow_device();
CREATE TRIGGER follow BEFORE INSERT ON stream      FOR EACH ROW EXECUTE FUNCTION follow_device();
CREATE TRIGGER follow BEFORE INSERT ON device_log  FOR EACH ROW EXECUTE FUNCTION follow_device();
CREATE TRIGGER follow BEFORE INSERT ON incident    FOR EACH ROW EXECUTE FUNCTION follow_device();
CREATE TRIGGER follow BEFORE INSERT ON dead_letter FOR EACH ROW EXECUTE FUNCTION follow_device_name();

-- A device that the first tenant got because a restored database had forgotten it goes to its own with all it has.
CREATE FUNCTION take_along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE series      SET tenant_id = NEW.tenant_id WHERE device_id = NEW.id;
    UPDATE stream      SET tenant_id = NEW.tenant_id WHERE device_id = NEW.id;
    UPDATE device_log  SET tenant_id = NEW.tenant_id WHERE device_id = NEW.id;
    UPDATE incident    SET tenant_id = NEW.tenant_id WHERE device_id = NEW.id;
    UPDATE dead_letter SET tenant_id = NEW.tenant_id WHERE device = NEW.name;
    RETURN NULL;
END
$$;
CREATE TRIGGER take_along AFTER UPDATE OF tenant_id ON device FOR EACH ROW
    WHEN (OLD.tenant_id <> NEW.tenant_id) EXECUTE FUNCTION take_along();

-- Refusals whose tenant is known; those in `refusal` are the installation's.
CREATE TABLE tenant_refusal (
    tenant_id  integer NOT NULL REFERENCES tenant,
    kind       text NOT NULL,
    day        date NOT NULL,
    count      bigint NOT NULL,
    last_at    timestamptz NOT NULL,
    last_detail text NOT NULL,
    PRIMARY KEY (tenant_id, kind, day)
);

ALTER TABLE tenant
    ADD COLUMN max_devices bigint CHECK (max_devices >= 0),
    ADD COLUMN max_series  bigint CHECK (max_series >= 0),
    ADD COLUMN max_samples bigint CHECK (max_samples >= 0),
    ADD COLUMN closed_at   timestamptz;
COMMENT ON COLUMN tenant.max_devices IS 'null sets no limit, here and for series and stored samples';
COMMENT ON COLUMN tenant.closed_at IS 'when its deletion began; nothing is enrolled into it from then on';

SELECT keep_apart('tenant', 'id = current_tenant()');
SELECT keep_apart(kept::regclass)
FROM unnest(ARRAY['device_group', 'device', 'series', 'stream', 'device_log', 'dead_letter', 'tenant_refusal']) AS kept;
SELECT keep_apart('incident', 'tenant_id = current_tenant() OR (tenant_id IS NULL AND sees_installation())');
SELECT keep_apart('refusal', 'sees_installation()');

-- No policy can guard the samples: TimescaleDB compresses no table that has one, and reads chunks past it. So the
-- role has no right to them, and reads views that say themselves whose rows they show: they run as their owner, whom
-- policies may not bind. `security_barrier` keeps a condition of the reader from seeing rows before that.
-- A view that is planned apart gives its rows in no known order unless it asks for one: the views by time do, and the
-- index on (series_id, ts) yields it without sorting.
DO $$
DECLARE
    base  text;
    cell  text;
    order_by text;
BEGIN
    FOR base, cell IN VALUES ('sample', 'value'), ('sample_value', 'value'), ('sample_quality', 'quality') LOOP
        FOREACH order_by IN ARRAY ARRAY['', 'ascending', 'descending'] LOOP
            EXECUTE format(
                'CREATE VIEW %I WITH (security_barrier) AS
                 SELECT m.series_id, m.ts, m.%I FROM series s JOIN %I m ON m.series_id = s.id
                 WHERE s.tenant_id = current_tenant() %s',
                concat_ws('_', 'own', base, nullif(order_by, '')), cell, base,
                CASE order_by WHEN 'ascending' THEN 'ORDER BY m.series_id, m.ts'
                              WHEN 'descending' THEN 'ORDER BY m.series_id DESC, m.ts DESC' ELSE '' END);
            EXECUTE format('GRANT SELECT ON %I TO wayside_app', concat_ws('_', 'own', base, nullif(order_by, '')));
        END LOOP;
    END LOOP;
END
$$;
CREATE VIEW own_latest WITH (security_barrier) AS
SELECT l.series_id, l.ts, l.value, l.value_json, l.quality, l.quality_ts
FROM series s JOIN latest l ON l.series_id = s.id
WHERE s.tenant_id = current_tenant();
CREATE VIEW own_ingest_batch WITH (security_barrier) AS
SELECT b.stream_id, b.seq, b.before, b.n, b.outcome, b.received_at
FROM stream t JOIN ingest_batch b ON b.stream_id = t.id
WHERE t.tenant_id = current_tenant();
GRANT SELECT ON own_latest, own_ingest_batch, schema_migration TO wayside_app;
