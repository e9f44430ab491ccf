-- COPY takes no parameters: {…} are literals and fragments that psycopg composes. Times leave in ISO 8601; the
-- delimiters \x01 and \x02 occur in no JSON text and in no number, so what they frame leaves as it stands.

-- name: begin
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: kinds
SELECT EXISTS (SELECT FROM sample WHERE series_id = %(id)s AND ts >= %(start)s AND ts < %(end)s) AS numbers,
       EXISTS (SELECT FROM sample_value WHERE series_id = %(id)s AND ts >= %(start)s AND ts < %(end)s) AS others;

-- name: first_time
SELECT min(first.ts) FROM unnest(%(ids)s::integer[]) AS wanted (id)
CROSS JOIN LATERAL (
    (SELECT ts FROM sample WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s ORDER BY ts LIMIT 1)
    UNION ALL
    (SELECT ts FROM sample_value WHERE series_id = wanted.id AND ts >= %(start)s AND ts < %(end)s ORDER BY ts LIMIT 1)
) AS first;

-- name: numbers
COPY (SELECT ts AT TIME ZONE 'UTC', value FROM sample
      WHERE series_id = {id} AND ts >= {start} AND ts < {end}
      ORDER BY ts)
TO STDOUT (FORMAT csv, DELIMITER E'\x02');

-- name: rows
(SELECT ts, {label} AS label, {number_cell} AS cell FROM sample
 WHERE series_id = {id} AND ts >= {start} AND ts < {end} ORDER BY ts)
UNION ALL
(SELECT ts, {label}, {other_cell} FROM sample_value
 WHERE series_id = {id} AND ts >= {start} AND ts < {end} ORDER BY ts);

-- name: number_cell
value::text;

-- name: csv_cell
CASE WHEN jsonb_typeof(value) <> 'string' THEN value::text
     WHEN value #>> '{{}}' ~ '^[-=+@\t\r＝＋－＠]' THEN '''' || (value #>> '{{}}')
     ELSE value #>> '{{}}' END;

-- name: json_cell
value::text;

-- name: long_csv
COPY (SELECT {name}, {unit}, replace((ts AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z', cell
      FROM ({rows}) AS rows ORDER BY ts)
TO STDOUT (FORMAT csv);

-- name: long_json
COPY (SELECT {prefix} || replace((ts AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z","value":' || cell || '}}'
      FROM ({rows}) AS rows ORDER BY ts)
TO STDOUT (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02');

-- name: wide_csv
-- A time that a series has twice takes a second row.
COPY (SELECT replace((ts AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z', {columns}
      FROM (SELECT ts, label, cell, row_number() OVER (PARTITION BY ts, label ORDER BY cell COLLATE "C") AS turn
            FROM ({rows}) AS rows) AS turns
      GROUP BY ts, turn ORDER BY ts, turn)
TO STDOUT (FORMAT csv);

-- name: wide_column
max(cell COLLATE "C") FILTER (WHERE label = {label});

-- name: wide_json
COPY (SELECT ',{{"time":"' || replace((ts AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z","values":'
             || json_object_agg(label, cell::json ORDER BY label COLLATE "C")::text || '}}'
      FROM (SELECT ts, label, cell, row_number() OVER (PARTITION BY ts, label ORDER BY cell COLLATE "C") AS turn
            FROM ({rows}) AS rows) AS turns
      GROUP BY ts, turn ORDER BY ts, turn)
TO STDOUT (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02');
