-- What repeats is counted in one row, and the bytes of dead letters are kept up to a quota.

ALTER TABLE incident
    ADD COLUMN count   bigint NOT NULL DEFAULT 1,
    ADD COLUMN last_at timestamptz NOT NULL DEFAULT now();
UPDATE incident i SET count = t.count, last_at = i.created_at, created_at = t.created_at
FROM (SELECT device_id, kind, count(*) AS count, min(created_at) AS created_at FROM incident GROUP BY device_id, kind) t
WHERE i.kind = t.kind AND i.device_id IS NOT DISTINCT FROM t.device_id;
DELETE FROM incident i USING incident o
WHERE o.kind = i.kind AND o.device_id IS NOT DISTINCT FROM i.device_id AND (o.last_at, o.id) > (i.last_at, i.id);
CREATE UNIQUE INDEX incident_kind ON incident (device_id, kind) NULLS NOT DISTINCT;
COMMENT ON COLUMN incident.count IS 'how often it happened, between created_at and last_at; detail is the last one''s';

ALTER TABLE dead_letter
    ALTER COLUMN raw DROP NOT NULL,
    ADD COLUMN size    integer NOT NULL DEFAULT 0,
    ADD COLUMN sha256  bytea CHECK (octet_length(sha256) = 32),
    ADD COLUMN count   bigint NOT NULL DEFAULT 1,
    ADD COLUMN last_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN summed  boolean NOT NULL DEFAULT false;
UPDATE dead_letter SET size = octet_length(raw), sha256 = sha256(raw);
UPDATE dead_letter d SET count = t.count, last_at = t.last_at
FROM (SELECT device, code, sha256, content_type, count(*) AS count, max(received_at) AS last_at
      FROM dead_letter GROUP BY device, code, sha256, content_type) t
WHERE (d.device, d.code, d.sha256) = (t.device, t.code, t.sha256) AND d.content_type IS NOT DISTINCT FROM t.content_type;
DELETE FROM dead_letter d USING dead_letter o
WHERE (d.device, d.code, d.sha256) = (o.device, o.code, o.sha256) AND d.content_type IS NOT DISTINCT FROM o.content_type
  AND o.id < d.id;
-- A content type may be too long for an index.
CREATE UNIQUE INDEX dead_letter_same ON dead_letter (device, code, sha256, md5(coalesce(content_type, '')))
    WHERE NOT summed;
CREATE UNIQUE INDEX dead_letter_summed ON dead_letter (device, code) WHERE summed;
COMMENT ON COLUMN dead_letter.raw IS 'null when the device had used up its quota of bytes';
COMMENT ON COLUMN dead_letter.count IS 'how often the same bytes were refused, between received_at and last_at';
COMMENT ON COLUMN dead_letter.summed IS 'stands for all messages of this code that came when the device had used up its quota of rows; size, sha256 and detail are the last one''s';

ALTER TABLE device ADD COLUMN over_epochs bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN device.over_epochs IS 'samples refused because their epoch was one too many, each time that they came';
