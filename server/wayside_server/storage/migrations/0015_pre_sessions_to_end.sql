-- Sessions with the broker that must end though their devices are in good standing: another board has the name now. By
-- name, so that an entry outlives its device.

CREATE TABLE session_to_end (
    device   text PRIMARY KEY,
    cause    text NOT NULL CHECK (cause IN ('replaced', 'deleted')),
    asked_at timestamptz NOT NULL
);
COMMENT ON COLUMN session_to_end.asked_at IS 'asked for anew while a session is being ended, it is ended once more';
