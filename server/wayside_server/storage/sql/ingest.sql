-- What one ingest transaction does, in order. Streams are locked in the order of their ids, so that two ingest
-- sessions that hold batches of the same devices wait for each other and never deadlock.

-- name: ensure_devices
INSERT INTO device (name) SELECT unnest(%(names)s::text[]) ON CONFLICT (name) DO NOTHING

-- name: device_ids
-- Those of a tenant that is being deleted are as good as gone.
SELECT d.name, d.id, d.revoked_at IS NOT NULL, d.tenant_id FROM device d JOIN tenant t ON t.id = d.tenant_id
WHERE d.name = ANY (%(names)s) AND t.closed_at IS NULL

-- name: gone
SELECT name FROM unnest(%(names)s::text[]) AS asked (name)
WHERE EXISTS (SELECT FROM device d WHERE d.name = asked.name)
   OR EXISTS (SELECT FROM deleted_device g WHERE g.name = asked.name AND g.until > now())
   OR EXISTS (SELECT FROM session_to_end s WHERE s.device = asked.name AND s.cause = 'deleted')

-- name: ensure_streams
INSERT INTO stream (device_id, epoch, first_seq, contiguous_upto, max_seq)
SELECT device_id, epoch, first_seq, first_seq - 1, first_seq - 1
FROM unnest(%(device_ids)s::int[], %(epochs)s::bytea[], %(first_seqs)s::bigint[]) AS t (device_id, epoch, first_seq)
ON CONFLICT (device_id, epoch) DO NOTHING

-- name: lock_streams
SELECT s.device_id, s.epoch, s.id, s.contiguous_upto, s.max_seq, s.stored
FROM stream s
JOIN unnest(%(device_ids)s::int[], %(epochs)s::bytea[]) AS t (device_id, epoch) USING (device_id, epoch)
ORDER BY s.id
FOR UPDATE OF s

-- name: count_streams
SELECT device_id, count(*) FROM stream WHERE device_id = ANY (%(device_ids)s) GROUP BY device_id

-- name: ledger
SELECT b.stream_id, b.seq, b.digest, b.outcome
FROM ingest_batch b
JOIN unnest(%(stream_ids)s::int[], %(seqs)s::bigint[]) AS t (stream_id, seq) USING (stream_id, seq)

-- name: enter
INSERT INTO ingest_batch (stream_id, seq, before, n, digest, outcome)
SELECT * FROM unnest(%(stream_ids)s::int[], %(seqs)s::bigint[], %(befores)s::bigint[], %(ns)s::int[],
                     %(digests)s::bytea[], %(outcomes)s::text[])

-- name: ensure_series
INSERT INTO series (device_id, name, unit)
SELECT * FROM unnest(%(device_ids)s::int[], %(names)s::text[], %(units)s::text[])
ON CONFLICT (device_id, name, unit) DO NOTHING

-- name: series_ids
SELECT s.device_id, s.name, s.unit, s.id
FROM series s
JOIN unnest(%(device_ids)s::int[], %(names)s::text[], %(units)s::text[]) AS t (device_id, name, unit)
    USING (device_id, name, unit)

-- name: count_series
SELECT device_id, count(*) FROM series WHERE device_id = ANY (%(device_ids)s) GROUP BY device_id

-- name: copy_samples
COPY sample (series_id, ts, value) FROM STDIN (FORMAT BINARY)

-- name: add_values
INSERT INTO sample_value (series_id, ts, value)
SELECT series_id, timestamptz 'epoch' + us * interval '1 microsecond', value::jsonb
FROM unnest(%(series_ids)s::int[], %(times_us)s::bigint[], %(texts)s::text[]) AS t (series_id, us, value)

-- name: add_qualities
INSERT INTO sample_quality (series_id, ts, quality)
SELECT series_id, timestamptz 'epoch' + us * interval '1 microsecond', quality
FROM unnest(%(series_ids)s::int[], %(times_us)s::bigint[], %(qualities)s::smallint[]) AS t (series_id, us, quality)

-- name: add_new_samples
-- For devices without sequence numbers: one sample for each series and time.
INSERT INTO sample (series_id, ts, value)
SELECT series_id, ts, value
FROM unnest(%(series_ids)s::int[], %(times_us)s::bigint[], %(values)s::float8[]) AS t (series_id, us, value),
     LATERAL (SELECT timestamptz 'epoch' + us * interval '1 microsecond') AS at (ts)
WHERE NOT EXISTS (SELECT FROM sample o WHERE o.series_id = t.series_id AND o.ts = at.ts)

-- name: add_new_values
INSERT INTO sample_value (series_id, ts, value)
SELECT series_id, ts, value::jsonb
FROM unnest(%(series_ids)s::int[], %(times_us)s::bigint[], %(texts)s::text[]) AS t (series_id, us, value),
     LATERAL (SELECT timestamptz 'epoch' + us * interval '1 microsecond') AS at (ts)
WHERE NOT EXISTS (SELECT FROM sample_value o WHERE o.series_id = t.series_id AND o.ts = at.ts)

-- name: lock_devices
SELECT id FROM device WHERE id = ANY (%(device_ids)s) ORDER BY id FOR UPDATE

-- name: count_plain
UPDATE device d SET plain_stored = plain_stored + t.stored, plain_duplicates = plain_duplicates + t.duplicates
FROM unnest(%(device_ids)s::int[], %(stored)s::bigint[], %(duplicates)s::bigint[]) AS t (id, stored, duplicates)
WHERE d.id = t.id

-- name: count_garbage
UPDATE device d SET garbage = garbage + t.count
FROM unnest(%(device_ids)s::int[], %(counts)s::bigint[]) AS t (id, count)
WHERE d.id = t.id

-- name: count_over_epochs
UPDATE device d SET over_epochs = over_epochs + t.samples
FROM unnest(%(device_ids)s::int[], %(samples)s::bigint[]) AS t (id, samples)
WHERE d.id = t.id

-- name: advance
-- The watermark moves over what is settled without a gap: at most a thousand entries are looked at, so that a long
-- backlog behind a gap costs the same each time; the next group goes on from there.
UPDATE stream s SET
    accepted = greatest(s.accepted, t.accepted),
    stored = s.stored + t.stored,
    late = s.late + t.late,
    estimated = s.estimated + t.estimated,
    unsynced = s.unsynced + t.unsynced,
    estimate_err_ms = greatest(s.estimate_err_ms, t.err_ms),
    duplicates = s.duplicates + t.duplicates,
    max_seq = greatest(s.max_seq, t.max_seq),
    last_batch_at = now(),
    reported_at = CASE WHEN t.next_seq IS NULL THEN s.reported_at ELSE now() END,
    reported_next_seq = coalesce(t.next_seq, s.reported_next_seq),
    reported_pending_from = coalesce(t.pending_from, s.reported_pending_from),
    reported_pending_before = coalesce(t.pending_before, s.reported_pending_before),
    forked = s.forked OR t.forked,
    contiguous_upto = coalesce((
        SELECT max(w.seq)
        FROM (SELECT b.seq, row_number() OVER (ORDER BY b.seq) AS place
              FROM ingest_batch b
              WHERE b.stream_id = s.id AND b.seq > s.contiguous_upto
              ORDER BY b.seq
              LIMIT 1000) w
        WHERE w.seq = s.contiguous_upto + w.place), s.contiguous_upto)
FROM unnest(%(stream_ids)s::int[], %(accepted)s::bigint[], %(stored)s::bigint[], %(late)s::bigint[],
            %(estimated)s::bigint[], %(unsynced)s::bigint[], %(err_ms)s::bigint[],
            %(duplicates)s::bigint[], %(max_seqs)s::bigint[], %(next_seqs)s::bigint[], %(pending_froms)s::bigint[],
            %(pending_befores)s::bigint[], %(forked)s::boolean[])
     AS t (id, accepted, stored, late, estimated, unsynced, err_ms, duplicates, max_seq, next_seq, pending_from,
           pending_before, forked)
WHERE s.id = t.id
RETURNING s.id, s.contiguous_upto

-- name: runs
-- What is settled above the watermark, as the lowest runs of numbers.
SELECT min(seq), max(seq)
FROM (SELECT seq, seq - row_number() OVER (ORDER BY seq) AS run
      FROM ingest_batch WHERE stream_id = %(id)s AND seq > %(above)s) AS numbered
GROUP BY run
ORDER BY 1
LIMIT %(most)s

-- name: report
-- What a hello says of a stream.
UPDATE stream SET
    accepted = greatest(accepted, %(accepted)s),
    reported_at = now(),
    reported_next_seq = %(next_seq)s,
    reported_pending_from = %(pending_from)s,
    reported_pending_before = %(pending_before)s
WHERE id = %(id)s

-- name: latest
INSERT INTO latest (series_id, ts, value, value_json)
SELECT series_id, timestamptz 'epoch' + us * interval '1 microsecond', value, text::jsonb
FROM unnest(%(series_ids)s::int[], %(times_us)s::bigint[], %(values)s::float8[], %(texts)s::text[])
     AS t (series_id, us, value, text)
ORDER BY series_id
ON CONFLICT (series_id) DO UPDATE
SET ts = excluded.ts, value = excluded.value, value_json = excluded.value_json
WHERE latest.ts IS NULL OR latest.ts <= excluded.ts

-- name: latest_quality
INSERT INTO latest (series_id, quality_ts, quality)
SELECT series_id, timestamptz 'epoch' + us * interval '1 microsecond', quality
FROM unnest(%(series_ids)s::int[], %(times_us)s::bigint[], %(qualities)s::smallint[]) AS t (series_id, us, quality)
ORDER BY series_id
ON CONFLICT (series_id) DO UPDATE
SET quality_ts = excluded.quality_ts, quality = excluded.quality
WHERE latest.quality_ts IS NULL OR latest.quality_ts <= excluded.quality_ts

-- name: letters_kept
SELECT device, count(*), coalesce(sum(octet_length(raw)), 0)::bigint
FROM dead_letter WHERE device = ANY (%(devices)s) AND NOT summed GROUP BY device

-- name: letters_known
SELECT DISTINCT d.device, d.code, d.sha256, coalesce(d.content_type, '')
FROM dead_letter d
JOIN unnest(%(devices)s::text[], %(codes)s::text[], %(digests)s::bytea[], %(content_types)s::text[])
         AS t (device, code, sha256, content_type)
    ON (d.device, d.code, d.sha256) = (t.device, t.code, t.sha256)
       AND md5(coalesce(d.content_type, '')) = md5(t.content_type)
WHERE NOT d.summed

-- name: bury
INSERT INTO dead_letter (device, topic, content_type, code, detail, raw, size, sha256, count)
SELECT * FROM unnest(%(devices)s::text[], %(topics)s::text[], %(content_types)s::text[], %(codes)s::text[],
                     %(details)s::text[], %(raws)s::bytea[], %(sizes)s::int[], %(digests)s::bytea[],
                     %(counts)s::bigint[])
ON CONFLICT (device, code, sha256, md5(coalesce(content_type, ''))) WHERE NOT summed DO UPDATE
SET count = dead_letter.count + excluded.count, last_at = now()

-- name: bury_summed
INSERT INTO dead_letter (device, topic, content_type, code, detail, size, sha256, count, summed)
SELECT *, true FROM unnest(%(devices)s::text[], %(topics)s::text[], %(content_types)s::text[], %(codes)s::text[],
                           %(details)s::text[], %(sizes)s::int[], %(digests)s::bytea[], %(counts)s::bigint[])
ON CONFLICT (device, code) WHERE summed DO UPDATE
SET count = dead_letter.count + excluded.count, last_at = now(), topic = excluded.topic,
    content_type = excluded.content_type, detail = excluded.detail, size = excluded.size, sha256 = excluded.sha256

-- name: incidents
-- A new id, for listings go by it, newest first.
INSERT INTO incident (device_id, kind, detail, count)
SELECT * FROM unnest(%(device_ids)s::int[], %(kinds)s::text[], %(details)s::text[], %(counts)s::bigint[])
         AS t (device_id, kind, detail, count)
ORDER BY device_id, kind
ON CONFLICT (device_id, kind) DO UPDATE
SET id = DEFAULT, count = incident.count + excluded.count, last_at = now(), detail = excluded.detail
RETURNING device_id, kind, count

-- name: seen
UPDATE device d SET
    last_seen = now(),
    state_since = CASE WHEN d.state = t.state THEN d.state_since ELSE now() END,
    state = t.state,
    agent = coalesce(t.agent, d.agent),
    clock_state = coalesce(t.clock_state, d.clock_state)
FROM unnest(%(device_ids)s::int[], %(states)s::text[], %(agents)s::text[], %(clock_states)s::smallint[])
     AS t (id, state, agent, clock_state)
WHERE d.id = t.id

-- name: notify
SELECT pg_notify('wayside_samples', %(devices)s)

-- name: count_refusals
WITH owner AS (SELECT d.tenant_id FROM device d JOIN tenant t ON t.id = d.tenant_id
               WHERE d.name = %(device)s AND t.closed_at IS NULL),
told AS (
    INSERT INTO tenant_refusal (tenant_id, kind, day, count, last_at, last_detail)
    SELECT tenant_id, %(kind)s, (now() AT TIME ZONE 'UTC')::date, %(count)s, now(), %(detail)s FROM owner
    ON CONFLICT (tenant_id, kind, day) DO UPDATE
    SET count = tenant_refusal.count + excluded.count, last_at = excluded.last_at, last_detail = excluded.last_detail
)
INSERT INTO refusal (kind, day, count, last_at, last_detail)
SELECT %(kind)s, (now() AT TIME ZONE 'UTC')::date, %(count)s, now(), %(detail)s WHERE NOT EXISTS (SELECT FROM owner)
ON CONFLICT (kind, day) DO UPDATE
SET count = refusal.count + excluded.count, last_at = excluded.last_at, last_detail = excluded.last_detail

-- name: add_log
INSERT INTO device_log (device_id, run, number, at, level, module, text, event, data)
SELECT device_id, run, number, timestamptz 'epoch' + at_ms * interval '1 millisecond', level, module, text, event,
       data::jsonb
FROM unnest(%(device_ids)s::int[], %(runs)s::text[], %(numbers)s::bigint[], %(at_ms)s::bigint[],
            %(levels)s::smallint[], %(modules)s::text[], %(texts)s::text[], %(events)s::text[], %(data)s::text[])
     AS t (device_id, run, number, at_ms, level, module, text, event, data)
ON CONFLICT (device_id, run, number) DO NOTHING

-- name: trim_log
-- By number down to what is kept, and of the oldest those that are too old: a few at a time, so that it stays cheap.
DELETE FROM device_log l
USING (SELECT d.id AS device_id,
              (SELECT id FROM device_log WHERE device_id = d.id ORDER BY id DESC OFFSET %(most)s LIMIT 1) AS over,
              (SELECT max(id) FROM (SELECT id, received_at FROM device_log WHERE device_id = d.id
                                    ORDER BY id LIMIT 500) AS first
               WHERE received_at < now() - %(longest)s) AS old
       FROM unnest(%(device_ids)s::int[]) AS d (id)) AS cut
WHERE l.device_id = cut.device_id AND l.id <= greatest(cut.over, cut.old)
