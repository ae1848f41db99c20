-- Returns what the session $1 waits for as one JSON document that deserializes to `LockWait`: the locked object, and
-- the sessions that hold the lock. Each session is visible to each role with its process id, role and application;
-- the other columns require pg_read_all_stats. The process id of a prepared transaction is 0.
WITH awaited AS (
  SELECT * FROM pg_locks WHERE pid = $1 AND NOT granted LIMIT 1
), locked_row AS (
  -- A session that waits for the end of a transaction holds a lock on the row that this transaction has changed.
  SELECT relation, database FROM pg_locks WHERE pid = $1 AND granted AND locktype = 'tuple' LIMIT 1
), holder AS (
  SELECT DISTINCT unnest(pg_blocking_pids($1)) AS pid
), named_holder AS (
  -- The locks of a prepared transaction have no process id. One of them is that of its own id.
  SELECT h.pid, p.gid, p.owner, p.prepared
  FROM holder h LEFT JOIN (
    SELECT p.gid, p.owner, p.prepared FROM pg_prepared_xacts p WHERE EXISTS (
      SELECT FROM awaited a JOIN pg_locks l
        ON (l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid, l.classid, l.objid, l.objsubid)
          IS NOT DISTINCT FROM
           (a.locktype, a.database, a.relation, a.page, a.tuple, a.virtualxid, a.transactionid, a.classid, a.objid, a.objsubid)
      WHERE l.granted AND l.pid IS NULL AND l.virtualtransaction = (
        SELECT x.virtualtransaction FROM pg_locks x
        WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL AND x.granted LIMIT 1))
  ) p ON h.pid = 0
)
SELECT json_build_object(
  'object', coalesce(
    (SELECT pg_describe_object('pg_class'::regclass, a.relation, 0) FROM awaited a
     WHERE a.relation IS NOT NULL AND a.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
    (SELECT pg_describe_object(a.classid, a.objid, 0) FROM awaited a
     WHERE a.locktype = 'object' AND a.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
    (SELECT 'a row of ' || pg_describe_object('pg_class'::regclass, r.relation, 0) FROM awaited a, locked_row r
     WHERE a.locktype = 'transactionid'
       AND r.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())))),
  'holders', (SELECT coalesce(json_agg(json_build_object(
      'pid', h.pid, 'user', coalesce(s.usename, h.owner), 'application', nullif(s.application_name, ''),
      'address', s.client_addr, 'prepared', h.gid,
      'since', to_char(coalesce(h.prepared, s.xact_start, s.backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
      ORDER BY h.pid, h.gid), '[]')
    FROM named_holder h LEFT JOIN pg_stat_activity s ON s.pid = h.pid))::text
