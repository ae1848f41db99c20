-- Returns the roles that own or have privileges on something in each of the databases $1, or on the database
-- itself (pg_shdepend, which all databases share), as one JSON document that deserializes to sets of names by
-- database.
SELECT coalesce(json_object_agg(datname, roles), '{}')::text FROM (
  SELECT d.datname, json_agg(DISTINCT r.rolname) AS roles
  FROM pg_catalog.pg_database d
  JOIN pg_catalog.pg_shdepend s
    ON s.dbid = d.oid OR s.dbid = 0 AND s.classid = 'pg_catalog.pg_database'::regclass AND s.objid = d.oid
  JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
  WHERE d.datname = ANY ($1::text[]::name[]) AND s.refclassid = 'pg_catalog.pg_authid'::regclass
  GROUP BY d.datname) f
