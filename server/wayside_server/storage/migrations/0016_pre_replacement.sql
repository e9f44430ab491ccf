-- A token that names an enrolled device locks its board out, so it must say that this is meant.

ALTER TABLE enrolment_token ADD COLUMN replaces boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN enrolment_token.replaces IS 'whether the name may be an enrolled device''s';
