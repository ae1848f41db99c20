-- What of a role's objects in a database another role may not own, since it may not create in their schema or
-- use their foreign-data wrapper: `REASSIGN OWNED` fails for it. Relations are not asked about. One object
-- stands for all of its schema. $1: the role, $2: the other role; it may be yet to come.
WITH taker AS (
  SELECT coalesce((SELECT rolname FROM pg_roles WHERE rolname = $2), 'public') AS name
), owned AS (
  SELECT s.classid, s.objid, i.type, i.schema, i.identity
  FROM pg_shdepend s, pg_identify_object(s.classid, s.objid, s.objsubid) i
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND s.classid <> 'pg_class'::regclass
    AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid AND d.deptype = 'i')
), kept AS (
  SELECT o.type, o.identity, NULL::name AS schema FROM owned o
  JOIN pg_foreign_server f ON o.classid = 'pg_foreign_server'::regclass AND f.oid = o.objid
  WHERE NOT has_foreign_data_wrapper_privilege((SELECT name FROM taker), f.srvfdw, 'USAGE')
  UNION ALL
  (SELECT DISTINCT ON (n.oid) o.type, o.identity, n.nspname FROM owned o
  JOIN pg_namespace n ON quote_ident(n.nspname) = o.schema
  WHERE pg_get_userbyid(n.nspowner) NOT IN ($1, $2, 'pg_database_owner')
    AND NOT has_schema_privilege((SELECT name FROM taker), n.oid, 'CREATE')
  ORDER BY n.oid, o.type, o.identity)
)
SELECT (SELECT coalesce(json_agg(json_build_object('kind', upper(replace(type, '-', ' ')), 'identity', identity,
  'schema', schema) ORDER BY type, identity), '[]') FROM kept)::text
