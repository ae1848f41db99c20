-- Returns the OID of the current database, the kinds of objects of which it contains more than $1, and whether
-- other_objects.sql can return anything, as one JSON document.
-- Counted is what the other queries return row by row, and no further than the limit. Relations are returned in groups, so
-- that there may be $2 of them. $3: the OIDs of the only roles whose large objects are returned. $4: the declared owner of
-- the database, or null.
-- other_objects.sql returns objects of other roles than the owner of the database, all objects if another owner is declared,
-- and the privileges of routines, types and system objects. PostgreSQL takes much longer to plan it than to find out that
-- there are none: pg_shdepend has a row for each object and each privilege of a role that initdb has not created. Objects of
-- predefined roles have none, and other_objects.sql returns none. Only its first rows are read, because it has very many where
-- many tables are granted. The bootstrap superuser (10) has created the objects before 16384; 2200 is the schema public, which
-- is no system object here.
SELECT json_build_object(
  'database', d.oid::bigint,
  'excess', array_remove(ARRAY[
    CASE WHEN schemas.count > $1::bigint THEN 'schemas' END,
    CASE WHEN relations.count > $2::bigint THEN 'tables, views, indexes and sequences' END,
    CASE WHEN columns.count > $1 THEN 'columns with privileges' END,
    CASE WHEN routines.count > $1 THEN 'routines with privileges' END,
    CASE WHEN types.count > $1 THEN 'types with privileges' END,
    CASE WHEN large_objects.count > $1 THEN 'large objects with privileges' END,
    CASE WHEN default_privileges.count > $1 THEN 'default privileges' END,
    CASE WHEN servers.count > $1 THEN 'foreign servers' END], NULL),
  'has_other_objects', coalesce(
    $4::text <> pg_get_userbyid(d.datdba) OR shared.count > 1000 OR shared.other OR routines.other OR types.other
      OR large_objects.count > 0 OR servers.count > 0
      OR EXISTS (SELECT FROM pg_foreign_data_wrapper) OR EXISTS (SELECT FROM pg_language WHERE lanacl IS NOT NULL), false))::text
FROM pg_database d
CROSS JOIN (SELECT count(*) FROM (SELECT FROM pg_namespace LIMIT $1 + 1) x) schemas
CROSS JOIN (SELECT count(*) FROM (SELECT FROM pg_class LIMIT $2 + 1) x) relations
CROSS JOIN (SELECT count(*) FROM (SELECT FROM pg_attribute WHERE attacl IS NOT NULL LIMIT $1 + 1) x) columns
CROSS JOIN (SELECT count(*), bool_or(oid >= 16384 OR proowner <> 10) AS other
  FROM (SELECT oid, proowner FROM pg_proc WHERE proacl IS NOT NULL LIMIT $1 + 1) x) routines
CROSS JOIN (SELECT count(*), bool_or(oid >= 16384 OR typowner <> 10) AS other
  FROM (SELECT oid, typowner FROM pg_type WHERE typacl IS NOT NULL LIMIT $1 + 1) x) types
CROSS JOIN (SELECT count(*) FROM (
  SELECT FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL AND lomowner = ANY($3::oid[]) LIMIT $1 + 1) x) large_objects
CROSS JOIN (SELECT count(*) FROM (SELECT FROM pg_default_acl LIMIT $1 + 1) x) default_privileges
CROSS JOIN (SELECT count(*) FROM (SELECT FROM pg_foreign_server LIMIT $1 + 1) x) servers
CROSS JOIN LATERAL (
  SELECT count(*), bool_or(deptype = 'o' AND refobjid <> d.datdba OR deptype = 'a' AND objid < 16384 AND objid <> 2200) AS other
  FROM (SELECT deptype, refobjid, objid FROM pg_shdepend WHERE dbid = d.oid LIMIT 1001) x) shared
WHERE d.datname = current_database()
