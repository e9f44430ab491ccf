-- Whose answers a transaction gives.

-- name: begin
-- The first statement of a transaction, all of whose statements then see one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: enter
-- For this transaction alone, whoever the connection belongs to otherwise.
SELECT set_config('role', %(role)s, true),
       set_config('wayside.tenant', %(tenant)s, true),
       set_config('wayside.installation', %(installation)s, true),
       set_config('statement_timeout', %(timeout)s, true);

-- name: by_index
-- An index gives a series in the order of time. The planner, taking each of its rows for a page elsewhere on the disk,
-- would collect and sort them all, in files, before the first leaves: three times the work.
SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true);
