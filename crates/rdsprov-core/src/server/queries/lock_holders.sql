-- Returns the other sessions that hold advisory locks of the class $1 in any database as one JSON document
-- that deserializes to a list of `Announced`; those of administrators come first.
-- Not returned are prepared transactions, which have no session: a run never prepares one.
-- usesysid is the role that logged in, whatever role the session has set since. Each role may see it.
WITH key_holder AS (
  SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l
  WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = $1::int::oid
    AND l.pid <> pg_catalog.pg_backend_pid()
), announced AS (
  SELECT s.pid, s.usename, s.application_name, s.client_addr, s.backend_start,
    EXISTS (
      SELECT FROM pg_catalog.pg_roles a
      WHERE (a.rolsuper OR a.rolname IN ('rds_superuser', session_user)
        -- From PostgreSQL 16 on, CREATEROLE alone gives no power over other roles and databases. A run needs the
        -- attribute CREATEDB, or a role that owns a database.
        OR a.rolcreaterole AND (current_setting('server_version_num')::int < 160000 OR a.rolcreatedb OR EXISTS (
          SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_database d ON d.datdba = m.roleid
          WHERE m.admin_option AND pg_catalog.pg_has_role(a.oid, m.member, 'USAGE'))))
        AND pg_catalog.pg_has_role(r.oid, a.oid, 'MEMBER')) AS administrator
  FROM key_holder h JOIN pg_catalog.pg_stat_activity s ON s.pid = h.pid
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.usesysid
)
SELECT coalesce(json_agg(json_build_object(
  'pid', a.pid, 'user', a.usename, 'application', nullif(a.application_name, ''), 'address', a.client_addr,
  'since', to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  'administrator', a.administrator) ORDER BY a.administrator DESC, a.backend_start, a.pid), '[]')::text
FROM announced a
