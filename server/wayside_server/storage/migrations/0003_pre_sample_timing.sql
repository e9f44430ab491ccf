-- How stored samples were timed: all that are counted here were not timed by a synchronised clock.
ALTER TABLE stream
    ADD COLUMN estimated bigint NOT NULL DEFAULT 0,
    ADD COLUMN unsynced bigint NOT NULL DEFAULT 0,
    ADD COLUMN estimate_err_ms bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN stream.estimated IS 'stored samples of boots that never knew the time, bracketed by known times';
COMMENT ON COLUMN stream.unsynced IS 'stored samples that have the time that an unsynchronised clock gave';
COMMENT ON COLUMN stream.estimate_err_ms IS 'largest bound of the error of the estimated ones, in milliseconds';
