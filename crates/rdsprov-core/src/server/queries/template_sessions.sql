-- Returns the sessions in template1, which prevent CREATE DATABASE from copying it (55006), as one JSON document that
-- deserializes to a list of `LockHolder`. CREATE DATABASE ends autovacuum workers itself, which have no role.
-- Without pg_read_all_stats, the address and the start of the sessions of other roles are null.
SELECT coalesce(json_agg(json_build_object(
  'pid', s.pid, 'user', s.usename, 'application', nullif(s.application_name, ''), 'address', s.client_addr,
  'since', to_char(s.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) ORDER BY s.backend_start, s.pid), '[]')::text
FROM pg_catalog.pg_stat_activity s WHERE s.datname = 'template1' AND s.usesysid IS NOT NULL
