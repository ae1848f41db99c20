-- Returns the sessions and prepared transactions in template1, which prevent CREATE DATABASE from copying it (55006), as
-- one JSON document that deserializes to a list of `LockHolder`. CREATE DATABASE ends autovacuum workers itself, which have no role.
-- Without pg_read_all_stats, the address and the start of the sessions of other roles are null.
WITH holder AS (
  SELECT s.pid, s.usename, nullif(s.application_name, '') AS application, s.client_addr, s.backend_start AS since,
    NULL::text AS prepared
  FROM pg_catalog.pg_stat_activity s WHERE s.datname = 'template1' AND s.usesysid IS NOT NULL
  UNION ALL
  SELECT 0, p.owner, NULL, NULL, p.prepared, p.gid FROM pg_catalog.pg_prepared_xacts p WHERE p.database = 'template1'
)
SELECT coalesce(json_agg(json_build_object(
  'pid', h.pid, 'user', h.usename, 'application', h.application, 'address', h.client_addr, 'prepared', h.prepared,
  'since', to_char(h.since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) ORDER BY h.since, h.pid), '[]')::text
FROM holder h
