-- Lines of devices' logs, which they copy to the server when they are asked to.

CREATE TABLE device_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   integer NOT NULL REFERENCES device,
    run         text NOT NULL,
    number      bigint NOT NULL,
    at          timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    level       smallint NOT NULL,
    module      text NOT NULL,
    text        text NOT NULL,
    event       text,
    data        jsonb NOT NULL,
    UNIQUE (device_id, run, number)
);
CREATE INDEX device_log_device ON device_log (device_id, id);
COMMENT ON COLUMN device_log.run IS 'one run of the agent; within it numbers rise, and where one is missing a line was left out';
COMMENT ON COLUMN device_log.at IS 'when it was said; null when the device did not know the time';
