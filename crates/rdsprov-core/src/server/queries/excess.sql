-- Returns the OID of the current database, and the kinds of objects of which it contains more than $1, as one JSON document.
-- Counted is what database.sql and access_report.sql return row by row, and no further than the limit. Relations are
-- returned in groups, so that there may be $2 of them. $3: the OIDs of the only roles whose
-- large objects are returned.
SELECT json_build_object('database', (
  SELECT oid::bigint FROM pg_database WHERE datname = current_database()), 'excess', (SELECT coalesce(json_agg(c.kind), '[]') FROM (
  SELECT 'schemas' AS kind, (SELECT count(*) FROM (SELECT FROM pg_namespace LIMIT $1::bigint + 1) x) AS count, $1::bigint AS most
  UNION ALL SELECT 'tables, views, indexes and sequences',
    (SELECT count(*) FROM (SELECT FROM pg_class LIMIT $2::bigint + 1) x), $2::bigint
  UNION ALL SELECT 'columns with privileges',
    (SELECT count(*) FROM (SELECT FROM pg_attribute WHERE attacl IS NOT NULL LIMIT $1::bigint + 1) x), $1::bigint
  UNION ALL SELECT 'routines with privileges',
    (SELECT count(*) FROM (SELECT FROM pg_proc WHERE proacl IS NOT NULL LIMIT $1::bigint + 1) x), $1::bigint
  UNION ALL SELECT 'types with privileges',
    (SELECT count(*) FROM (SELECT FROM pg_type WHERE typacl IS NOT NULL LIMIT $1::bigint + 1) x), $1::bigint
  UNION ALL SELECT 'large objects with privileges',
    (SELECT count(*) FROM (SELECT FROM pg_largeobject_metadata
      WHERE lomacl IS NOT NULL AND lomowner = ANY($3::oid[])
      LIMIT $1::bigint + 1) x), $1::bigint
  UNION ALL SELECT 'default privileges',
    (SELECT count(*) FROM (SELECT FROM pg_default_acl LIMIT $1::bigint + 1) x), $1::bigint
  UNION ALL SELECT 'foreign servers',
    (SELECT count(*) FROM (SELECT FROM pg_foreign_server LIMIT $1::bigint + 1) x), $1::bigint
) c WHERE c.count > c.most))::text
