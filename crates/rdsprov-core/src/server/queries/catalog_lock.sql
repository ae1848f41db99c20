-- Returns the sessions that lock a catalog of the database $1, or a catalog that all databases share, as one JSON document
-- that deserializes to `LockWait`. ACCESS EXCLUSIVE is the only mode that conflicts with reading. A session that waits
-- for this mode prevents reading as well: then the sessions for which it waits are returned, too.
WITH exclusive AS (
  SELECT coalesce(l.pid, 0) AS pid, l.relation FROM pg_catalog.pg_locks l
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation::bigint < 16384
    AND (l.database = 0 OR l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = $1::text))
), holder AS (
  SELECT pid FROM exclusive
  UNION SELECT unnest(pg_catalog.pg_blocking_pids(e.pid)) FROM exclusive e
)
SELECT json_build_object(
  'object', (
    -- Without pg_describe_object, which reads catalogs by name.
    SELECT 'table ' || c.relname FROM exclusive e JOIN pg_catalog.pg_class c ON c.oid = e.relation
    WHERE c.relkind = 'r' ORDER BY c.relname LIMIT 1),
  'holders', (SELECT coalesce(json_agg(json_build_object(
      'pid', h.pid, 'user', s.usename, 'application', nullif(s.application_name, ''), 'address', s.client_addr,
      'since', to_char(coalesce(s.xact_start, s.backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
      ORDER BY h.pid), '[]')
    FROM holder h LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = h.pid))::text
