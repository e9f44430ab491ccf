-- Who disabled an account: what the installation disabled, no tenant enables.

ALTER TABLE person ADD COLUMN disabled_by text CHECK (disabled_by IN ('tenant', 'installation'));
COMMENT ON COLUMN person.disabled_by IS 'who disabled it, and may enable it; null for one that is enabled, or that a release without levels disabled';

-- The audit log knows it of those that are disabled; of one that it does not know, the installation decides.
UPDATE person p SET disabled_by = coalesce((
    SELECT CASE WHEN e.tenant_id IS NULL THEN 'installation' ELSE 'tenant' END
    FROM audit_entry e WHERE e.action = 'person.disable' AND e.subject = 'person:' || p.name AND e.outcome = 'done'
    ORDER BY e.id DESC LIMIT 1), 'installation')
WHERE p.disabled_at IS NOT NULL;
