-- Returns which functions for the topology of a blue/green deployment the administrator can call in this database. A
-- function counts only if its owner is an administrator: the call executes its code with all privileges of the caller.
WITH administrators AS (
  SELECT r.oid FROM pg_catalog.pg_roles r
  WHERE r.rolsuper OR r.rolname = current_user OR EXISTS (
    SELECT FROM pg_catalog.pg_roles a WHERE a.rolname = 'rds_superuser' AND pg_catalog.pg_has_role(r.oid, a.oid, 'MEMBER'))
), callable AS (
  SELECT n.nspname, p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.proowner IN (SELECT oid FROM administrators) AND n.nspowner IN (SELECT oid FROM administrators)
    AND p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1
    AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
)
SELECT json_build_object(
  'aurora', EXISTS (
    SELECT FROM callable WHERE nspname = 'pg_catalog' AND proname = 'get_blue_green_fast_switchover_metadata'),
  'rds', EXISTS (SELECT FROM callable WHERE nspname = 'rds_tools' AND proname = 'show_topology'),
  -- Whether another database can contain the extension.
  'offers_rds_tools',
    coalesce(string_to_array(replace(current_setting('rds.extensions', true), ' ', ''), ',') && ARRAY['rds_tools'], false)
    OR EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'rds_tools'))::text
