-- What stands for {aggregate} in the statements `buckets_…` of reading.sql; each gives a 64-bit float.

-- name: avg
avg(value)

-- name: min
min(value)

-- name: max
max(value)

-- name: sum
sum(value)

-- name: count
count(*)::double precision

-- name: first
(array_agg(value ORDER BY ts, value))[1]

-- name: last
(array_agg(value ORDER BY ts DESC, value DESC))[1]
