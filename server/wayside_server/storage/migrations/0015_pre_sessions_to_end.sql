-- Sessions with the broker that must end though their devices are in good standing: another board has the name now, or
-- the device went with its tenant. By name, so that an entry outlives its device.

CREATE TABLE session_to_end (
    device   text PRIMARY KEY,
    cause    text NOT NULL CHECK (cause IN ('replaced', 'deleted')),
    asked_at timestamptz NOT NULL
);
COMMENT ON COLUMN session_to_end.asked_at IS 'asked for anew while a session is being ended, it is ended once more';

-- Names of devices that went with their tenants. While a certificate of such a name may be good somewhere, ingest does
-- not take its messages for those of a device that a restored database has forgotten.
CREATE TABLE deleted_device (
    name  text PRIMARY KEY,
    until timestamptz NOT NULL
);
COMMENT ON COLUMN deleted_device.until IS 'the end of its last certificate; an entry counts for nothing once the name is a device''s again';
