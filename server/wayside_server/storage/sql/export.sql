-- Within a scope, in the order of the index (scope.sql). COPY takes no parameters: {…} are literals and fragments that psycopg composes. Times leave in ISO 8601; the
-- delimiters \x01 and \x02 occur in no JSON text and in no number, so what they frame leaves as it stands.

-- name: kinds
SELECT EXISTS (SELECT FROM own_sample WHERE series_id = %(id)s AND ts >= %(start)s AND ts < %(end)s) AS numbers,
       EXISTS (SELECT FROM own_sample_value WHERE series_id = %(id)s AND ts >= %(start)s AND ts < %(end)s) AS others,
       EXISTS (SELECT FROM own_sample_quality WHERE series_id = %(id)s AND ts >= %(start)s AND ts < %(end)s) AS qualities;

-- name: with_qualities
SELECT id FROM unnest(%(ids)s::integer[]) AS wanted (id)
WHERE EXISTS (SELECT FROM own_sample_quality WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s);

-- name: first_time
SELECT min(first.ts) FROM unnest(%(ids)s::integer[]) AS wanted (id)
CROSS JOIN LATERAL (
    (SELECT ts FROM own_sample_ascending
     WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s ORDER BY ts LIMIT 1)
    UNION ALL
    (SELECT ts FROM own_sample_value_ascending
     WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s ORDER BY ts LIMIT 1)
    UNION ALL
    (SELECT ts FROM own_sample_quality_ascending
     WHERE quality >= 64 AND series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s ORDER BY ts LIMIT 1)
) AS first;

-- name: numbers
-- As text a time costs less than by to_char; its decimals are completed outside. A zone that is an interval needs no
-- look into the table of zones for each row.
COPY (SELECT ts AT TIME ZONE INTERVAL '0', value FROM own_sample_ascending
      WHERE series_id = {id} AND ts >= {start} AND ts < {end}
      ORDER BY ts)
TO STDOUT (FORMAT csv, DELIMITER E'\x02');

-- name: rows
(SELECT ts, {label} AS label, {number_cell} AS cell, NULL::text AS quality FROM own_sample_ascending
 WHERE series_id = {id} AND ts >= {start} AND ts < {end} ORDER BY ts)
UNION ALL
(SELECT ts, {label}, {other_cell}, NULL FROM own_sample_value_ascending
 WHERE series_id = {id} AND ts >= {start} AND ts < {end} ORDER BY ts);

-- name: marked_rows
-- As `rows`, for a series that has qualities: marks of values, and samples without a value.
(SELECT ts, {label} AS label, {number_cell} AS cell, quality
 FROM own_sample_ascending LEFT JOIN {marks} AS mark USING (ts)
 WHERE series_id = {id} AND ts >= {start} AND ts < {end} ORDER BY ts)
UNION ALL
(SELECT ts, {label}, {other_cell}, quality FROM own_sample_value_ascending LEFT JOIN {marks} AS mark USING (ts)
 WHERE series_id = {id} AND ts >= {start} AND ts < {end} ORDER BY ts)
UNION ALL
(SELECT ts, {label}, NULL, {quality_label} FROM own_sample_quality_ascending
 WHERE quality >= 64 AND series_id = {id} AND ts >= {start} AND ts < {end} ORDER BY ts);

-- name: marks
(SELECT ts, {quality_label} AS quality
 FROM (SELECT ts, max(quality) AS quality FROM own_sample_quality_ascending
       WHERE quality < 64 AND series_id = {id} AND ts >= {start} AND ts < {end} GROUP BY ts) AS marked);

-- name: quality_label
CASE quality {whens} ELSE 'code ' || quality END;

-- name: quality_when
WHEN {code} THEN {label};

-- name: number_cell
value::text;

-- name: csv_cell
CASE WHEN jsonb_typeof(value) <> 'string' THEN value::text
     WHEN value #>> '{{}}' ~ '^[-=+@\t\r＝＋－＠]' THEN '''' || (value #>> '{{}}')
     ELSE value #>> '{{}}' END;

-- name: json_cell
value::text;

-- name: long_csv
COPY (SELECT {name}, {unit}, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), cell, quality
      FROM ({rows}) AS rows ORDER BY ts)
TO STDOUT (FORMAT csv);

-- name: long_json
COPY (SELECT {prefix} || to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || 'Z","value":' || coalesce(cell, 'null')
             || coalesce(',"quality":"' || quality || '"', '') || '}}'
      FROM ({rows}) AS rows ORDER BY ts)
TO STDOUT (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02');

-- name: wide_csv
-- A time that a series has twice takes a second row.
COPY (SELECT to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), {columns}
      FROM ({turns}) AS turns
      GROUP BY ts, turn ORDER BY ts, turn)
TO STDOUT (FORMAT csv);

-- name: turns
SELECT ts, label, cell, quality,
       row_number() OVER (PARTITION BY ts, label ORDER BY cell COLLATE "C", quality COLLATE "C") AS turn
FROM ({rows}) AS rows;

-- name: wide_column
max(cell COLLATE "C") FILTER (WHERE label = {label});

-- name: wide_quality_column
max(quality COLLATE "C") FILTER (WHERE label = {label});

-- name: wide_json
COPY (SELECT ',{{"time":"' || to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || 'Z","values":'
             || json_object_agg(label, cell::json ORDER BY label COLLATE "C")::text || {qualities} || '}}'
      FROM ({turns}) AS turns
      GROUP BY ts, turn ORDER BY ts, turn)
TO STDOUT (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02');

-- name: wide_json_qualities
',"qualities":' || coalesce(json_object_agg(label, quality ORDER BY label COLLATE "C")
                            FILTER (WHERE quality IS NOT NULL), '{{}}')::text;
