-- People: accounts, what they may within which tenant, how they come in, their sessions; scopes and makers of API keys.

CREATE TABLE person (
    id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{1,62}$'),
    display_name     text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 100),
    passphrase_hash  text,
    must_change      boolean NOT NULL DEFAULT false,
    totp_secret      bytea,
    totp_step        bigint,
    is_administrator boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL,
    disabled_at      timestamptz,
    last_sign_in     timestamptz,
    issuer           text,
    subject          text,
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL))
);
COMMENT ON COLUMN person.passphrase_hash IS 'argon2id; null for who comes in by a link or through OpenID Connect only';
COMMENT ON COLUMN person.totp_secret IS 'sealed with the key in the installation''s folder; null without second factor';
COMMENT ON COLUMN person.totp_step IS 'the last time step whose code was taken: no code is taken twice';
COMMENT ON COLUMN person.is_administrator IS 'of the installation, beside what the memberships say';

CREATE TABLE membership (
    person_id integer NOT NULL REFERENCES person ON DELETE CASCADE,
    tenant_id integer NOT NULL REFERENCES tenant ON DELETE CASCADE,
    role      smallint NOT NULL CHECK (role BETWEEN 1 AND 4),
    mapped    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (person_id, tenant_id)
);
CREATE INDEX membership_tenant ON membership (tenant_id);
COMMENT ON COLUMN membership.role IS '1 viewer, 2 operator, 3 engineer, 4 admin';
COMMENT ON COLUMN membership.mapped IS 'from the groups that OpenID Connect told; it goes when the group goes';

CREATE TABLE recovery_code (
    digest    bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    person_id integer NOT NULL REFERENCES person ON DELETE CASCADE
);
CREATE INDEX recovery_code_person ON recovery_code (person_id);

CREATE TABLE invitation (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    tenant_id  integer NOT NULL REFERENCES tenant ON DELETE CASCADE,
    role       smallint NOT NULL CHECK (role BETWEEN 1 AND 4),
    label      text NOT NULL,
    made_by    text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX invitation_tenant ON invitation (tenant_id);

-- How often somebody tried, by account name and by address, as SHA-256: names are what strangers typed.
CREATE TABLE sign_in_attempt (
    subject       bytea PRIMARY KEY CHECK (octet_length(subject) = 32),
    failures      integer NOT NULL,
    last_at       timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);
CREATE INDEX sign_in_attempt_age ON sign_in_attempt (last_at);

-- Sessions are people's; nothing was shipped that began one with a key.
DROP TABLE login_link;
DROP TABLE console_session;

CREATE TABLE session (
    digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    number      bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    person_id   integer NOT NULL REFERENCES person ON DELETE CASCADE,
    tenant_id   integer REFERENCES tenant ON DELETE SET NULL,
    method      text NOT NULL CHECK (method IN ('passphrase', 'link', 'oidc')),
    factor_done boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    last_used   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    address     text,
    agent       text
);
CREATE INDEX session_person ON session (person_id);
COMMENT ON COLUMN session.factor_done IS 'false between the passphrase and the code; such a session opens nothing';

CREATE TABLE sign_in_link (
    digest     bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    person_id  integer NOT NULL REFERENCES person ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);

ALTER TABLE tenant ADD COLUMN require_second_factor boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tenant.require_second_factor IS 'of its admins who sign in with a passphrase or a link';

ALTER TABLE api_key
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{read,metrics}',
    ADD COLUMN made_by text NOT NULL DEFAULT 'command line',
    ADD COLUMN created_by integer REFERENCES person,
    ADD COLUMN parent_id integer REFERENCES api_key;
COMMENT ON COLUMN api_key.created_by IS 'the person whose role bounds it for as long as it lives; null: of the installation';
COMMENT ON COLUMN api_key.parent_id IS 'the key that made it, and with which it is revoked';
CREATE INDEX api_key_parent ON api_key (parent_id);
