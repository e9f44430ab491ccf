-- Devices, their series and samples, and the ledger that makes each batch count once.

CREATE TABLE device (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{2,62}$'),
    created_at  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz,
    state       text NOT NULL DEFAULT 'never seen' CHECK (state IN ('never seen', 'online', 'offline')),
    state_since timestamptz,
    agent       text,
    clock_state smallint,
    -- Devices without our agent send no sequence numbers; what they sent is counted here.
    plain_stored     bigint NOT NULL DEFAULT 0,
    plain_duplicates bigint NOT NULL DEFAULT 0,
    garbage     bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN device.garbage IS 'messages so broken that no batch could be named; each is a dead letter';

CREATE TABLE series (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id  integer NOT NULL REFERENCES device,
    name       text NOT NULL,
    unit       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (device_id, name, unit)
);

-- Narrow rows. Exactly-once comes from the ledger, so no unique index is paid for on each row.
CREATE TABLE sample (
    series_id integer NOT NULL,
    ts        timestamptz NOT NULL,
    value     double precision NOT NULL
) PARTITION BY RANGE (ts);
CREATE INDEX sample_series_ts ON sample (series_id, ts);

-- Booleans, texts and documents.
CREATE TABLE sample_value (
    series_id integer NOT NULL,
    ts        timestamptz NOT NULL,
    value     jsonb NOT NULL
) PARTITION BY RANGE (ts);
CREATE INDEX sample_value_series_ts ON sample_value (series_id, ts);

CREATE TABLE latest (
    series_id  integer PRIMARY KEY REFERENCES series,
    ts         timestamptz NOT NULL,
    value      double precision,
    value_json jsonb
) WITH (fillfactor = 70);
COMMENT ON TABLE latest IS 'newest value of each series by event time, never by arrival';

-- One row for each epoch of a device: the watermark of what is settled.
CREATE TABLE stream (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id       integer NOT NULL REFERENCES device,
    epoch           bytea NOT NULL CHECK (octet_length(epoch) = 16),
    first_seq       bigint NOT NULL,
    contiguous_upto bigint NOT NULL,
    max_seq         bigint NOT NULL,
    accepted        bigint NOT NULL DEFAULT 0,
    stored          bigint NOT NULL DEFAULT 0,
    late            bigint NOT NULL DEFAULT 0,
    duplicates      bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_batch_at   timestamptz,
    reported_at     timestamptz,
    reported_next_seq       bigint,
    reported_pending_from   bigint,
    reported_pending_before bigint,
    UNIQUE (device_id, epoch)
) WITH (fillfactor = 70);
COMMENT ON COLUMN stream.contiguous_upto IS 'every batch from first_seq up to here is settled in ingest_batch';
COMMENT ON COLUMN stream.accepted IS 'samples accepted by the device in this epoch, as far as the server was told';
COMMENT ON COLUMN stream.late IS 'stored samples that arrived more than five minutes after they were measured';
COMMENT ON COLUMN stream.duplicates IS 'samples in batches that arrived again and were refused';

-- The ledger: a plain table, whatever becomes of the samples' own.
CREATE TABLE ingest_batch (
    stream_id   integer NOT NULL REFERENCES stream,
    seq         bigint NOT NULL,
    before      bigint NOT NULL,
    n           integer NOT NULL,
    digest      bytea,
    outcome     text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream_id, seq)
);
COMMENT ON COLUMN ingest_batch.outcome IS '''stored'', ''dropped:<reason>'' declared by the device, or ''rejected:<code>''';
CREATE INDEX ingest_batch_not_stored ON ingest_batch (stream_id, outcome) WHERE outcome <> 'stored';

CREATE TABLE dead_letter (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device       text NOT NULL,
    topic        text NOT NULL,
    content_type text,
    code         text NOT NULL,
    detail       text NOT NULL,
    raw          bytea NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letter_device ON dead_letter (device, received_at);

-- What operators must see once: a restored or cloned card, a server behind its devices.
CREATE TABLE incident (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id  integer REFERENCES device,
    kind       text NOT NULL,
    detail     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX incident_device ON incident (device_id, created_at);
