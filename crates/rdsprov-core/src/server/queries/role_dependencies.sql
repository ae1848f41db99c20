-- Returns what depends on each of the roles $1 (pg_shdepend, which all databases share) as one JSON
-- document that deserializes to sets of `RoleDependency` by role. What was left when a database was
-- dropped is not counted.
WITH dependency AS (
  SELECT r.rolname, coalesce(d.datname, o.datname) AS database, s.dbid = 0 AND o.oid IS NOT NULL AS is_database,
    CASE s.deptype WHEN 'o' THEN 'owner' WHEN 'a' THEN 'privileges' WHEN 'i' THEN 'privileges' ELSE 'other' END AS kind,
    count(*) AS count
  FROM pg_catalog.pg_shdepend s
  JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
  LEFT JOIN pg_catalog.pg_database o ON s.dbid = 0 AND s.classid = 'pg_catalog.pg_database'::regclass AND o.oid = s.objid
  WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND r.rolname = ANY ($1::text[]::name[])
  GROUP BY 1, 2, 3, 4
)
SELECT coalesce(json_object_agg(rolname, held), '{}')::text FROM (
  SELECT rolname, json_agg(json_build_object(
    'database', database, 'is_database', is_database, 'kind', kind, 'count', count) ORDER BY database, kind) AS held
  FROM dependency GROUP BY rolname) r
