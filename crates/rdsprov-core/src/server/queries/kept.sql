-- What of a role's objects in a database another role may not own, since it may not create in their schema or
-- use their foreign-data wrapper: giving them away fails. `REASSIGN OWNED` asks of relations and types nothing of
-- the kind; `ALTER … OWNER TO`, one by one, does, and leaves to an extension what is its. $1: the role, $2: the
-- other role, which may be yet to come, $3: whether they go one by one.
WITH taker AS (
  SELECT coalesce((SELECT rolname FROM pg_roles WHERE rolname = $2), 'public') AS name
), owned AS (
  SELECT s.classid, s.objid, i.schema, i.identity,
    upper(replace(CASE i.type WHEN 'statistics object' THEN 'statistics' ELSE i.type END, '-', ' ')) AS kind
  FROM pg_shdepend s, pg_identify_object(s.classid, s.objid, s.objsubid) i
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
    AND ($3 OR s.classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass))
    AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
    AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = s.classid AND d.objid = s.objid
        AND (d.deptype = 'i' OR $3 AND (d.deptype = 'e' OR d.deptype = 'a' AND i.type = 'sequence')))
), kept AS (
  SELECT o.kind, o.identity, NULL::name AS schema FROM owned o
  JOIN pg_foreign_server f ON o.classid = 'pg_foreign_server'::regclass AND f.oid = o.objid
  WHERE NOT has_foreign_data_wrapper_privilege((SELECT name FROM taker), f.srvfdw, 'USAGE')
  UNION ALL
  SELECT o.kind, o.identity, n.nspname FROM owned o
  JOIN pg_namespace n ON quote_ident(n.nspname) = o.schema
  WHERE pg_get_userbyid(n.nspowner) NOT IN ($1, $2, 'pg_database_owner')
    AND NOT has_schema_privilege((SELECT name FROM taker), n.oid, 'CREATE')
)
SELECT (SELECT coalesce(json_agg(json_build_object('kind', kind, 'identity', identity, 'schema', schema)
  ORDER BY kind, identity), '[]') FROM kept)::text
