-- Tenants: whose devices, people and keys these are. What was there before belongs to the first one.

CREATE TABLE tenant (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{1,62}$'),
    title      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenant (name, title) VALUES ('default', 'Default');

CREATE TABLE device_group (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  integer NOT NULL REFERENCES tenant,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{1,62}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);

-- The default serves devices that the database does not know, which have a certificate of this installation: it was
-- restored from a backup, and they were enrolled since.
ALTER TABLE device
    ADD COLUMN tenant_id integer NOT NULL DEFAULT 1 REFERENCES tenant,
    ADD COLUMN group_id integer REFERENCES device_group;
CREATE INDEX device_tenant ON device (tenant_id, name);

ALTER TABLE enrolment_token
    ADD COLUMN tenant_id integer NOT NULL DEFAULT 1 REFERENCES tenant,
    ADD COLUMN group_id integer REFERENCES device_group;

ALTER TABLE api_key ADD COLUMN tenant_id integer NOT NULL DEFAULT 1 REFERENCES tenant;
