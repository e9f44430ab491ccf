-- Weeks of `sample` and `sample_value`; the functions stand in migration 0001.

-- name: ensure
SELECT ensure_sample_weeks(%(first)s::timestamptz, %(last)s::timestamptz);
