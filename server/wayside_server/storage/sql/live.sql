-- New samples as they are committed.

-- name: listen
LISTEN wayside_samples;
