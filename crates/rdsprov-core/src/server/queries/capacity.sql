-- Returns how many connections the server, the current role and database `postgres` allow, how many are used, and
-- whether the server is Aurora, as one JSON document that deserializes to `Capacity`. -1 is no limit.
-- Each role may see which role and database a session has, but not which kind of process it is: background workers
-- and walsenders have no role or no database, and have no part in max_connections.
WITH client AS (
  SELECT s.usesysid, s.datname FROM pg_catalog.pg_stat_activity s
  WHERE s.usesysid IS NOT NULL AND s.datid IS NOT NULL
    AND coalesce(s.backend_type, 'client backend') = 'client backend'
), administrator AS (
  SELECT r.oid, r.rolconnlimit FROM pg_catalog.pg_roles r WHERE r.rolname = session_user
)
SELECT json_build_object(
  'server', json_build_object(
    -- From PostgreSQL 16 on, a predefined role may use more of them than others.
    'allowed', current_setting('max_connections')::bigint
      - CASE WHEN current_setting('is_superuser')::bool THEN 0
        ELSE current_setting('superuser_reserved_connections')::bigint END
      - CASE WHEN current_setting('is_superuser')::bool OR EXISTS (
          SELECT FROM pg_catalog.pg_roles r
          WHERE r.rolname = 'pg_use_reserved_connections' AND pg_catalog.pg_has_role(session_user, r.oid, 'USAGE')) THEN 0
        ELSE coalesce(current_setting('reserved_connections', true), '0')::bigint END,
    'used', (SELECT count(*) FROM client)),
  'role', json_build_object(
    'allowed', (SELECT rolconnlimit FROM administrator),
    'used', (SELECT count(*) FROM client c JOIN administrator a ON a.oid = c.usesysid)),
  'lock_database', json_build_object(
    'allowed', coalesce((SELECT d.datconnlimit FROM pg_catalog.pg_database d WHERE d.datname = 'postgres'), -1),
    'used', (SELECT count(*) FROM client WHERE datname = 'postgres')),
  'aurora', EXISTS (
    SELECT FROM pg_catalog.pg_proc p WHERE p.proname = 'aurora_version' AND p.pronamespace = 'pg_catalog'::regnamespace)
)::text
