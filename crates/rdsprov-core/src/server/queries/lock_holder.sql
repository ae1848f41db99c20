-- Returns the session that holds the advisory lock $1 in the current database as one JSON document that deserializes
-- to `LockHolder`, or no row. PostgreSQL stores the two halves of the key in classid and objid.
SELECT json_build_object(
  'pid', s.pid, 'user', s.usename, 'application', nullif(s.application_name, ''), 'address', s.client_addr,
  'since', to_char(s.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))::text
FROM pg_locks l JOIN pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = (($1::bigint >> 32) & 4294967295)::oid AND l.objid = ($1::bigint & 4294967295)::oid
LIMIT 1
