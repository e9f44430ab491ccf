-- New samples as they are committed.

-- name: listen
LISTEN wayside_samples;

-- name: newer
SELECT series.id, series.name, series.unit, fresh.ts, fresh.value, fresh.value_json
FROM unnest(%(ids)s::integer[], %(marks)s::timestamptz[]) AS wanted (id, mark)
JOIN series ON series.id = wanted.id
CROSS JOIN LATERAL (
    (SELECT ts, value, NULL::jsonb AS value_json FROM sample
     WHERE series_id = wanted.id AND ts > wanted.mark ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
    UNION ALL
    (SELECT ts, NULL, value FROM sample_value
     WHERE series_id = wanted.id AND ts > wanted.mark ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
) AS fresh
ORDER BY fresh.ts, series.id;
