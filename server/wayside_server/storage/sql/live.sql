-- New samples as they are committed.

-- name: listen
LISTEN wayside_samples;

-- name: newer
-- All kinds of a series are cut at one time: what is left out of one kind would lie behind the mark of another.
SELECT series.id, series.name, series.unit, fresh.ts, fresh.value, fresh.value_json,
       coalesce(fresh.quality, (SELECT max(q.quality) FROM sample_quality q
                                WHERE q.series_id = series.id AND q.ts = fresh.ts AND q.quality < 64)) AS quality
FROM unnest(%(ids)s::integer[], %(marks)s::timestamptz[]) AS wanted (id, mark)
JOIN series ON series.id = wanted.id
CROSS JOIN LATERAL (
    (SELECT ts, value, NULL::jsonb AS value_json, NULL::smallint AS quality FROM sample
     WHERE series_id = wanted.id AND ts > wanted.mark ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
    UNION ALL
    (SELECT ts, NULL, value, NULL FROM sample_value
     WHERE series_id = wanted.id AND ts > wanted.mark ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
    UNION ALL
    (SELECT ts, NULL, NULL, quality FROM sample_quality
     WHERE quality >= 64 AND series_id = wanted.id AND ts > wanted.mark
     ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES)
    ORDER BY ts FETCH FIRST %(limit)s ROWS WITH TIES
) AS fresh
ORDER BY fresh.ts, series.id;
