-- Returns what depends on each of the roles $1 (pg_shdepend, which all databases share) as one JSON
-- document that deserializes to sets of `RoleDependency` by role. What was left when a database was
-- dropped is not counted. Of the owners of the objects, three are enough to find the others.
WITH dependency AS (
  SELECT r.rolname, coalesce(d.datname, o.datname) AS database, s.dbid = 0 AND o.oid IS NOT NULL AS is_database,
    CASE s.deptype WHEN 'o' THEN 'owner' WHEN 'a' THEN 'privileges' WHEN 'i' THEN 'initial_privileges' ELSE 'other' END AS kind,
    CASE s.classid WHEN 'pg_catalog.pg_default_acl'::regclass THEN 'default_privileges'
      WHEN 'pg_catalog.pg_largeobject'::regclass THEN 'large_object'
      WHEN 'pg_catalog.pg_user_mapping'::regclass THEN 'user_mapping' ELSE 'object' END AS class,
    count(*) AS count, (array_agg(DISTINCT w.rolname::text) FILTER (WHERE w.rolname IS NOT NULL))[1:3] AS owners
  FROM pg_catalog.pg_shdepend s
  JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
  LEFT JOIN pg_catalog.pg_database o ON s.dbid = 0 AND s.classid = 'pg_catalog.pg_database'::regclass AND o.oid = s.objid
  LEFT JOIN pg_catalog.pg_shdepend p ON s.deptype <> 'o' AND p.deptype = 'o' AND p.dbid = s.dbid AND p.classid = s.classid
    AND p.objid = s.objid AND p.refclassid = s.refclassid
  LEFT JOIN pg_catalog.pg_roles w ON w.oid = p.refobjid
  WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND r.rolname = ANY ($1::text[]::name[])
  GROUP BY 1, 2, 3, 4, 5
)
SELECT coalesce(json_object_agg(rolname, held), '{}')::text FROM (
  SELECT rolname, json_agg(json_build_object(
    'database', database, 'is_database', is_database, 'kind', kind, 'class', class, 'count', count,
    'owners', coalesce(owners, '{}')) ORDER BY database, kind, class) AS held
  FROM dependency GROUP BY rolname) r
