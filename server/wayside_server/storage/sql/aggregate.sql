-- What stands for {aggregate} in the statements `buckets_…` of reading.sql; each gives a 64-bit float,
-- `count` an integer.
-- A sample without a value is NULL there.

-- name: avg
avg(value)

-- name: min
min(value)

-- name: max
max(value)

-- name: sum
sum(value)

-- name: count
count(value)

-- name: first
(array_agg(value ORDER BY ts, value) FILTER (WHERE value IS NOT NULL))[1]

-- name: last
(array_agg(value ORDER BY ts DESC, value DESC) FILTER (WHERE value IS NOT NULL))[1]
