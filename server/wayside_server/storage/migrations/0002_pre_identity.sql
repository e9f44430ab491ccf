-- Enrolment, certificates, API keys and console sessions. Secrets are stored as SHA-256 only: they are 256 random bits.

CREATE TABLE enrolment_token (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest      bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    device_name text CHECK (device_name ~ '^[a-z0-9][a-z0-9-]{2,62}$'),
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    device_id   integer REFERENCES device
);
COMMENT ON COLUMN enrolment_token.device_name IS 'the name that the device will get; the server makes one when null';

CREATE TABLE certificate (
    serial      numeric(49) PRIMARY KEY,
    device_id   integer NOT NULL REFERENCES device,
    not_before  timestamptz NOT NULL,
    not_after   timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX certificate_device ON certificate (device_id, not_after);

CREATE TABLE api_key (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix     text NOT NULL UNIQUE,
    digest     bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    label      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used  timestamptz
);

CREATE TABLE console_session (
    digest     bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    api_key_id integer NOT NULL REFERENCES api_key ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

-- One-time sign-in links (`wayside-server login-link`), spent on first use.
CREATE TABLE login_link (
    digest     bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    api_key_id integer NOT NULL REFERENCES api_key ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

-- Refusals that are visible to operators: bad tokens, bad keys, refused devices.
CREATE TABLE refusal (
    kind       text NOT NULL,
    day        date NOT NULL,
    count      bigint NOT NULL,
    last_at    timestamptz NOT NULL,
    last_detail text NOT NULL,
    PRIMARY KEY (kind, day)
);
