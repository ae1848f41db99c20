-- Returns whether the audit table exists, and how it differs from its definition, as one JSON document that
-- deserializes to `AuditTable`. `audit_table.sql` of the plan precedes it.
SELECT jsonb_build_object(
  'has_schema', EXISTS (SELECT FROM audit_schema),
  'exists', EXISTS (SELECT FROM audit_relation),
  'defects', (SELECT coalesce(jsonb_agg(words), '[]') FROM defect))::text
