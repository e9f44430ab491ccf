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
-- With TimescaleDB these are hypertables; without it they are partitioned by week.
DO $$
DECLARE
    storage text := '';
    timescale boolean;
BEGIN
    -- CREATE EXTENSION ends the session when the library is not preloaded, so that is asked first. Only superusers
    -- see shared_preload_libraries; the parameters that the library brings are seen by every role.
    SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
        OR (EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
            AND EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.max_background_workers'))
    INTO timescale;
    IF timescale THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb;
    ELSE
        storage := 'PARTITION BY RANGE (ts)';
    END IF;
    EXECUTE 'CREATE TABLE sample (
        series_id integer NOT NULL,
        ts        timestamptz NOT NULL,
        value     double precision NOT NULL
    )' || storage;
    -- Booleans, texts and documents.
    EXECUTE 'CREATE TABLE sample_value (
        series_id integer NOT NULL,
        ts        timestamptz NOT NULL,
        value     jsonb NOT NULL
    )' || storage;
    IF timescale THEN
        PERFORM create_hypertable('sample', by_range('ts', interval '7 days'), create_default_indexes => false);
        PERFORM create_hypertable('sample_value', by_range('ts', interval '7 days'), create_default_indexes => false);
    ELSE
        CREATE TABLE sample_default PARTITION OF sample DEFAULT;
        CREATE TABLE sample_value_default PARTITION OF sample_value DEFAULT;
    END IF;
    CREATE INDEX sample_series_ts ON sample (series_id, ts);
    CREATE INDEX sample_value_series_ts ON sample_value (series_id, ts);
END
$$;

-- A hypertable has no default partition: a device with a wild clock would get a chunk for each week of a century, and
-- a query that meets them all runs out of locks. So all times before the weeks that partitions are kept for share one
-- chunk, and so do those more than ten years ahead. A new chunk is cut where it meets others, therefore the weeks at
-- both borders come first, then chunks of any length beyond them.
CREATE FUNCTION bound_sample_chunks() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    base text;
    near timestamptz[] := ARRAY[now() - interval '15 months', now() + interval '10 years'];
    far  timestamptz[] := ARRAY['2000-01-01 00:00:00+00', '2099-12-31 00:00:00+00'];
    fill text := 'INSERT INTO %I SELECT 0, unnest(%L::timestamptz[]), ''0''';
BEGIN
    FOREACH base IN ARRAY ARRAY['sample', 'sample_value'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM timescaledb_information.chunks
                              WHERE hypertable_schema = current_schema AND hypertable_name = base
                                  AND range_end - range_start > interval '1 year');
        PERFORM pg_advisory_xact_lock(7396002);
        EXECUTE format(fill, base, near);
        PERFORM set_chunk_time_interval(base::regclass, interval '73000 days');
        EXECUTE format(fill, base, far);
        PERFORM set_chunk_time_interval(base::regclass, interval '7 days');
        EXECUTE format('DELETE FROM %I WHERE series_id = 0', base);
    END LOOP;
END
$$;

-- Attaching takes no lock that ingest or reading of the parent's other weeks conflicts with, except on the default
-- partition; creating a table as a partition at once would lock the parent against both.
CREATE FUNCTION ensure_sample_weeks(first timestamptz, last timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    monday timestamptz;
    base   text;
    part   text;
    missing boolean := false;
    kept   tstzrange := tstzrange(now() - interval '15 months', now() + interval '2 weeks', '[]');
    weeks  timestamptz[];
BEGIN
    IF (SELECT relkind <> 'p' FROM pg_class WHERE oid = 'sample'::regclass) THEN
        PERFORM bound_sample_chunks();
        RETURN;
    END IF;
    SELECT array_agg(w) INTO weeks
    FROM generate_series(date_bin('7 days', greatest(first, lower(kept)), timestamptz '1970-01-05 00:00:00+00'),
                         least(last, upper(kept)), interval '7 days') AS w;
    FOREACH monday IN ARRAY coalesce(weeks, '{}') LOOP
        FOREACH base IN ARRAY ARRAY['sample', 'sample_value'] LOOP
            missing := missing OR to_regclass(base || to_char(monday AT TIME ZONE 'UTC', '"_"YYYYMMDD')) IS NULL;
        END LOOP;
    END LOOP;
    IF NOT missing THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7396002);
    PERFORM set_config('lock_timeout', '2s', true);
    FOREACH monday IN ARRAY weeks LOOP
        FOREACH base IN ARRAY ARRAY['sample', 'sample_value'] LOOP
            part := base || to_char(monday AT TIME ZONE 'UTC', '"_"YYYYMMDD');
            CONTINUE WHEN to_regclass(part) IS NOT NULL;
            BEGIN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
                               part, base);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                               base, part, monday, monday + interval '7 days');
            EXCEPTION WHEN lock_not_available OR check_violation THEN
                -- The default partition is in use, or holds rows of this week already: it goes on holding them.
                NULL;
            END;
        END LOOP;
    END LOOP;
END
$$;

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
    forked          boolean NOT NULL DEFAULT false,
    UNIQUE (device_id, epoch)
) WITH (fillfactor = 70);
COMMENT ON COLUMN stream.contiguous_upto IS 'every batch from first_seq up to here is settled in ingest_batch';
COMMENT ON COLUMN stream.accepted IS 'samples accepted by the device in this epoch, as far as the server was told';
COMMENT ON COLUMN stream.late IS 'stored samples that arrived more than five minutes after they were measured';
COMMENT ON COLUMN stream.forked IS 'two cards wrote to this epoch, so what its batches say of the total cannot be believed; settled samples count instead';
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
