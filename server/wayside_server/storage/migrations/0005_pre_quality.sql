-- Qualities of samples that are not simply good; those from 64 on are samples without a value. Few, so a plain table.

CREATE TABLE sample_quality (
    series_id integer NOT NULL,
    ts        timestamptz NOT NULL,
    quality   smallint NOT NULL CHECK (quality BETWEEN 1 AND 255)
);
CREATE INDEX sample_quality_series_ts ON sample_quality (series_id, ts);

ALTER TABLE latest ALTER COLUMN ts DROP NOT NULL;
ALTER TABLE latest ADD COLUMN quality smallint, ADD COLUMN quality_ts timestamptz;
COMMENT ON COLUMN latest.quality IS 'newest quality that was not good, as it was at quality_ts; it holds while ts is not later';
