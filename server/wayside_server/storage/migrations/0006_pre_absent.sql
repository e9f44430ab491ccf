-- Samples without a value are read among the others, in order of time; the marks of values must not be in the way.

CREATE INDEX sample_quality_absent ON sample_quality (series_id, ts) WHERE quality >= 64;
