-- What the API and the console ask, within a scope (scope.sql). Samples, last values and the ledger are reached through
-- views alone (migration 0009). A condition on a view narrows it before it is read only if it compares with a value or
-- with a row of a LATERAL, not with a column of a join: so joins to views are LATERAL, and cut to stay so.

-- name: devices
-- Only the agent's session has a will by which the broker tells that it ended.
SELECT id, name, CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN quiet THEN 'quiet' ELSE state END AS state,
       CASE WHEN revoked_at IS NOT NULL THEN revoked_at WHEN quiet THEN last_seen ELSE state_since END AS state_since,
       last_seen, created_at, agent, clock_state,
       (SELECT g.name FROM device_group g WHERE g.id = device.group_id) AS "group"
FROM device
CROSS JOIN LATERAL (SELECT state = 'online' AND agent IS NULL AND last_seen < now() - %(quiet_after)s AS quiet) AS heard
WHERE name > %(after)s AND position(%(search)s IN name) > 0
ORDER BY name
LIMIT %(limit)s;

-- name: device
SELECT id, name, CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN quiet THEN 'quiet' ELSE state END AS state,
       CASE WHEN revoked_at IS NOT NULL THEN revoked_at WHEN quiet THEN last_seen ELSE state_since END AS state_since,
       last_seen, created_at, agent, clock_state,
       (SELECT g.name FROM device_group g WHERE g.id = device.group_id) AS "group"
FROM device
CROSS JOIN LATERAL (SELECT state = 'online' AND agent IS NULL AND last_seen < now() - %(quiet_after)s AS quiet) AS heard
WHERE name = %(name)s;

-- name: device_rows
SELECT id, name, plain_stored, plain_duplicates, garbage, over_epochs FROM device WHERE id = ANY(%(ids)s);

-- name: stream_rows
SELECT s.device_id, s.epoch, s.accepted, s.stored, s.late, s.estimated, s.unsynced, s.estimate_err_ms,
       s.duplicates, s.contiguous_upto,
       s.reported_pending_from, s.reported_pending_before, s.forked,
       coalesce((SELECT jsonb_object_agg(o.outcome, o.samples)
                 FROM (SELECT b.outcome, sum(b.n)::bigint AS samples
                       FROM own_ingest_batch b
                       WHERE b.stream_id = s.id AND b.outcome <> 'stored'
                       GROUP BY b.outcome) o), '{}') AS not_stored,
       CASE WHEN s.contiguous_upto < s.reported_pending_from - 1
            THEN (SELECT coalesce(sum(b.n), 0)::bigint
                  FROM own_ingest_batch b
                  WHERE b.stream_id = s.id AND b.seq < s.reported_pending_from)
            ELSE 0 END AS settled_before_pending
FROM stream s
WHERE s.device_id = ANY(%(ids)s);

-- name: series_ids
SELECT id FROM series WHERE device_id = %(id)s;

-- name: counted
SELECT (SELECT count(*) FROM own_sample WHERE series_id = ANY(%(series_ids)s))
     + (SELECT count(*) FROM own_sample_value WHERE series_id = ANY(%(series_ids)s))
     + (SELECT count(*) FROM own_sample_quality WHERE quality >= 64 AND series_id = ANY(%(series_ids)s)) AS rows,
       (SELECT coalesce(sum(stored.n), 0)::bigint
        FROM stream s
        CROSS JOIN LATERAL (SELECT sum(b.n) AS n FROM own_ingest_batch b
                            WHERE b.stream_id = s.id AND b.outcome = 'stored') AS stored
        WHERE s.device_id = %(id)s) AS ledger;

-- name: series
SELECT s.id, s.name, s.unit
FROM series s JOIN device d ON d.id = s.device_id
WHERE d.name = %(device)s AND (cardinality(%(names)s::text[]) = 0 OR s.name = ANY(%(names)s))
ORDER BY s.name COLLATE "C", s.unit COLLATE "C";

-- name: latest
-- What the agent measures of itself comes last. A quality holds while no value is later. `absent_since` is the first sample without a value behind the last value.
SELECT s.id, s.name, s.unit, l.ts, l.value, l.value_json, l.quality, l.quality_ts,
       CASE WHEN l.quality >= 64 AND l.quality_ts >= coalesce(l.ts, '-infinity')
            THEN coalesce((SELECT q.ts FROM own_sample_quality_ascending q
                           WHERE q.quality >= 64 AND q.series_id = l.series_id AND q.ts >= coalesce(l.ts, '-infinity')
                           ORDER BY q.ts LIMIT 1), l.quality_ts) END AS absent_since
FROM device d JOIN series s ON s.device_id = d.id
CROSS JOIN LATERAL (SELECT * FROM own_latest WHERE series_id = s.id LIMIT 1) AS l
WHERE d.name = %(device)s AND (l.ts IS NOT NULL OR l.quality >= 64)
ORDER BY starts_with(s.name, 'agent.'), s.name COLLATE "C", s.unit COLLATE "C"
OFFSET %(skip)s LIMIT %(limit)s;

-- name: history_ascending
-- Samples may share series and time, so a page begins at a time and skips the rows of it that were given.
-- Each series contributes at most one page, in the order of the index; values get their marks when the page is made.
SELECT p.series_id, p.ts, p.value, p.value_json,
       coalesce(p.quality, (SELECT max(q.quality) FROM own_sample_quality q
                            WHERE q.series_id = p.series_id AND q.ts = p.ts AND q.quality < 64)) AS quality
FROM (
    SELECT h.series_id, h.ts, h.kind, h.value, h.value_json, h.quality
    FROM unnest(%(ids)s::integer[]) AS wanted (id)
    CROSS JOIN LATERAL (
        (SELECT wanted.id AS series_id, ts, 0 AS kind, value, NULL::jsonb AS value_json, NULL::smallint AS quality
         FROM own_sample_ascending
         WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s
           AND (ts, series_id) >= (%(at)s, %(at_series)s)
         ORDER BY ts, value LIMIT %(limit)s + %(skip)s)
        UNION ALL
        (SELECT wanted.id, ts, 1, NULL, value, NULL
         FROM own_sample_value_ascending
         WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s
           AND (ts, series_id) >= (%(at)s, %(at_series)s)
         ORDER BY ts, value LIMIT %(limit)s + %(skip)s)
        UNION ALL
        (SELECT wanted.id, ts, 2, NULL, NULL, quality
         FROM own_sample_quality_ascending
         WHERE quality >= 64 AND series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s
           AND (ts, series_id) >= (%(at)s, %(at_series)s)
         ORDER BY ts, quality LIMIT %(limit)s + %(skip)s)
    ) AS h
    ORDER BY h.ts, h.series_id, h.kind, h.value, h.value_json, h.quality
    OFFSET %(skip)s LIMIT %(limit)s
) AS p
ORDER BY p.ts, p.series_id, p.kind, p.value, p.value_json, p.quality;

-- name: history_descending
SELECT p.series_id, p.ts, p.value, p.value_json,
       coalesce(p.quality, (SELECT max(q.quality) FROM own_sample_quality q
                            WHERE q.series_id = p.series_id AND q.ts = p.ts AND q.quality < 64)) AS quality
FROM (
    SELECT h.series_id, h.ts, h.kind, h.value, h.value_json, h.quality
    FROM unnest(%(ids)s::integer[]) AS wanted (id)
    CROSS JOIN LATERAL (
        (SELECT wanted.id AS series_id, ts, 0 AS kind, value, NULL::jsonb AS value_json, NULL::smallint AS quality
         FROM own_sample_descending
         WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s
           AND (ts, series_id) <= (%(at)s, %(at_series)s)
         ORDER BY ts DESC, value DESC LIMIT %(limit)s + %(skip)s)
        UNION ALL
        (SELECT wanted.id, ts, 1, NULL, value, NULL
         FROM own_sample_value_descending
         WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s
           AND (ts, series_id) <= (%(at)s, %(at_series)s)
         ORDER BY ts DESC, value DESC LIMIT %(limit)s + %(skip)s)
        UNION ALL
        (SELECT wanted.id, ts, 2, NULL, NULL, quality
         FROM own_sample_quality_descending
         WHERE quality >= 64 AND series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s
           AND (ts, series_id) <= (%(at)s, %(at_series)s)
         ORDER BY ts DESC, quality DESC LIMIT %(limit)s + %(skip)s)
    ) AS h
    ORDER BY h.ts DESC, h.series_id DESC, h.kind DESC, h.value DESC, h.value_json DESC, h.quality DESC
    OFFSET %(skip)s LIMIT %(limit)s
) AS p
ORDER BY p.ts DESC, p.series_id DESC, p.kind DESC, p.value DESC, p.value_json DESC, p.quality DESC;

-- name: buckets_ascending
-- A bucket of samples without a value is there too, with the value NULL.
SELECT series_id, bucket, {aggregate} AS value, NULL::jsonb AS value_json, NULL::smallint AS quality,
       count(*) - count(value) AS absent
FROM (SELECT series_id, ts, value, date_bin(%(width)s, ts, timestamptz '1970-01-01 00:00:00+00') AS bucket
      FROM (SELECT series_id, ts, value FROM own_sample
            UNION ALL
            SELECT series_id, ts, NULL FROM own_sample_quality WHERE quality >= 64) AS every
      WHERE series_id = ANY(%(ids)s) AND ts >= %(start)s AND ts < %(end)s) AS binned
WHERE (bucket, series_id) >= (%(at)s, %(at_series)s)
GROUP BY series_id, bucket
ORDER BY bucket, series_id
OFFSET %(skip)s LIMIT %(limit)s;

-- name: buckets_descending
SELECT series_id, bucket, {aggregate} AS value, NULL::jsonb AS value_json, NULL::smallint AS quality,
       count(*) - count(value) AS absent
FROM (SELECT series_id, ts, value, date_bin(%(width)s, ts, timestamptz '1970-01-01 00:00:00+00') AS bucket
      FROM (SELECT series_id, ts, value FROM own_sample
            UNION ALL
            SELECT series_id, ts, NULL FROM own_sample_quality WHERE quality >= 64) AS every
      WHERE series_id = ANY(%(ids)s) AND ts >= %(start)s AND ts < %(end)s) AS binned
WHERE (bucket, series_id) <= (%(at)s, %(at_series)s)
GROUP BY series_id, bucket
ORDER BY bucket DESC, series_id DESC
OFFSET %(skip)s LIMIT %(limit)s;

-- name: newer
-- All kinds of a series are cut at one time: what is left out of one kind would lie behind the mark of another.
SELECT series.id, series.name, series.unit, fresh.ts, fresh.value, fresh.value_json,
       coalesce(fresh.quality, (SELECT max(q.quality) FROM own_sample_quality q
                                WHERE q.series_id = series.id AND q.ts = fresh.ts AND q.quality < 64)) AS quality
FROM unnest(%(ids)s::integer[], %(marks)s::timestamptz[]) AS wanted (id, mark)
JOIN series ON series.id = wanted.id
CROSS JOIN LATERAL (
    (SELECT ts, value, NULL::jsonb AS value_json, NULL::smallint AS quality FROM own_sample_ascending
     WHERE series_id = wanted.id AND ts > wanted.mark ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
    UNION ALL
    (SELECT ts, NULL, value, NULL FROM own_sample_value_ascending
     WHERE series_id = wanted.id AND ts > wanted.mark ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
    UNION ALL
    (SELECT ts, NULL, NULL, quality FROM own_sample_quality_ascending
     WHERE quality >= 64 AND series_id = wanted.id AND ts > wanted.mark
     ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
    ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES
) AS fresh
ORDER BY fresh.ts, series.id;

-- name: dead_letters
SELECT id, device, topic, content_type, code, detail, coalesce(substring(raw FOR %(head)s), '') AS head,
       coalesce(octet_length(raw), size) AS size, received_at, raw IS NOT NULL AS kept, sha256, count, last_at, summed
FROM dead_letter
WHERE device = %(device)s AND id < %(before_id)s
ORDER BY id DESC
LIMIT %(limit)s;

-- name: dead_letter
SELECT raw FROM dead_letter WHERE device = %(device)s AND id = %(id)s;

-- name: log
SELECT id, run, number, at, received_at, level, module, text, event, data
FROM device_log
WHERE device_id = %(device_id)s AND level >= %(level)s AND id < %(before_id)s
ORDER BY id DESC
LIMIT %(limit)s;

-- name: refusals
-- Of one kind and day the tenant's and, for whom may see it, the installation's are one.
SELECT kind, day, sum(count)::bigint AS count, max(last_at) AS last_at,
       (array_agg(last_detail ORDER BY last_at DESC))[1] AS last_detail
FROM (SELECT kind, day, count, last_at, last_detail FROM refusal
      UNION ALL
      SELECT kind, day, count, last_at, last_detail FROM tenant_refusal) AS every
WHERE day < %(day)s OR (day = %(day)s AND kind COLLATE "C" > %(kind)s)
GROUP BY day, kind
ORDER BY day DESC, kind COLLATE "C"
LIMIT %(limit)s;

-- name: incidents
SELECT i.id, d.name AS device, i.kind, i.detail, i.created_at, i.count, i.last_at
FROM incident i LEFT JOIN device d ON d.id = i.device_id
WHERE i.id < %(before_id)s AND (%(device_id)s::integer IS NULL OR i.device_id = %(device_id)s)
ORDER BY i.id DESC
LIMIT %(limit)s;
