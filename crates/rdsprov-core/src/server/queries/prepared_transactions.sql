-- Returns the owners of prepared transactions in each database as one JSON document that deserializes to sets
-- of names by database. Such a transaction keeps its locks without a session.
SELECT coalesce(json_object_agg(p.database, p.owners), '{}')::text FROM (
  SELECT x.database, json_agg(DISTINCT x.owner) AS owners
  FROM pg_catalog.pg_prepared_xacts x WHERE x.owner IS NOT NULL AND x.database IS NOT NULL GROUP BY x.database) p
